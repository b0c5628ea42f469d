package httpsend

// Details are the words that an Error can show, besides those about a URL.
func Details() []string {
	return []string{
		detailBlocked, DetailCanceled, detailNoAnswer, detailConnectTimeout, detailTLSTimeout, detailRefused,
		detailUnreachable, detailClosed, detailTLSClosed, detailTLSAlert, detailProtocol, detailNotFound, detailNameServer, detailResolver,
		detailCertExpired, detailCertHost, detailCertAuthority, detailCertInvalid, detailNotTLS, detailHandshake,
		detailLocal, detailHeader,
	}
}
