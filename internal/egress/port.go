package egress

import "slices"

// allowsPort reports whether requests may go to a port. Whoever speaks another
// protocol there reads a signed POST as something else: mail servers, caches and
// the consoles of telephone switches take it line by line, and obey some lines.
//
// By default that is 443; 80 where http is allowed; and from 1024 up, where anybody
// may run a server, all that are not known for another protocol.
func (p *Policy) allowsPort(port uint16) bool {
	switch {
	case slices.Contains(p.AllowPorts, port), port == 443:
		return true
	case port == 80:
		return p.AllowHTTP
	}
	return port >= 1024 && !foreign(port)
}

// foreign reports whether a port from 1024 up is known for something else than HTTP
// servers of the public: those that browsers refuse
// (https://fetch.spec.whatwg.org/#port-blocking), and the usual ports of databases,
// caches, queues, mail, telephony and remote control, with the few consoles that
// speak HTTP. A port that HTTP servers use as well (3000, 5000, 8000, 9000, 9090)
// is not among them, nor is one from 32768 up: systems give those out at random, to
// test servers too.
func foreign(port uint16) bool {
	switch port {
	case 1433, 1434, 1521, 3306, 5432, 5433, 6432, 7687, 9042, 9160, 26257, 27017, 27018, 27019, 28015: // SQL Server, Oracle, MySQL, PostgreSQL, PgBouncer, Neo4j, Cassandra, CockroachDB, MongoDB, RethinkDB
		return true
	case 6379, 6380, 16379, 26379, 11210, 11211, 11214, 11215, 11300: // Redis and its cluster, Couchbase, memcached, beanstalkd
		return true
	case 1883, 8883, 4222, 5671, 5672, 9092, 4369, 25672, 2181: // MQTT, NATS, AMQP, Kafka, Erlang's nodes, ZooKeeper
		return true
	case 1025, 2525, 10024, 10025, 4190: // mail: submission and content filters, ManageSieve
		return true
	case 1719, 1720, 5038, 5060, 5061, 8021: // H.323, Asterisk's manager, SIP, FreeSWITCH's console
		return true
	case 5222, 5223, 5269, 6679, 6697: // XMPP, IRC over TLS
		return true
	case 1080, 1723, 2222, 3389, 1494, 7100: // SOCKS, PPTP, SSH, RDP, Citrix, X fonts
		return true
	case 2049, 4045, 3260, 3632, 3690, 9418, 6566, 9100, 10080, 8009, 1099, 7199: // NFS, iSCSI, distcc, Subversion, Git, scanners, printers, Amanda, AJP, Java RMI and JMX
		return true
	case 3268, 3269, 3659, 10050, 10051: // LDAP, Apple's SASL, Zabbix
		return true
	case 2375, 2376, 2377, 2379, 2380, 10250, 10255, 5985, 5986, 9200, 9300: // HTTP that controls machines or data: Docker, etcd, kubelet, WinRM, Elasticsearch
		return true
	}
	return port >= 5900 && port <= 5909 || // VNC
		port >= 6000 && port <= 6063 || // X11
		port >= 6660 && port <= 6669 // IRC
}
