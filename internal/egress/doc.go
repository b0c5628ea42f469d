// Package egress decides where requests may go. URLs come from strangers and are
// called from inside the sender's network, so there are two checks, one after the
// other:
//
//   - [Policy.ParseURL] refuses URLs that nobody can mean honestly. It does no
//     DNS, so it is a courtesy with a good error text, not the defence.
//   - [Policy.Control] is the defence. It runs in net.Dialer after the name was
//     resolved and before the first packet leaves, for each address that is
//     dialled, so that nothing lies between the check and the use.
package egress
