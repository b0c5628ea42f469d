package webhookapi

import (
	"bytes"
	_ "embed"
	"net/url"
)

// document is the API's description. It is kept by hand, beside the handlers; the tests
// in internal/itest hold every response against it.
//
//go:embed openapi.json
var document []byte

// specUnder returns the document for a prefix.
func specUnder(prefix string) []byte {
	if prefix == "" {
		prefix = "/"
	}
	return bytes.Replace(document, []byte(`"url": "/v1"`), []byte(`"url": "`+(&url.URL{Path: prefix}).String()+`"`), 1)
}

// openAPI serves the document. It describes the API as it is without Options.Envelope,
// and is never in one itself.
func openAPI(r *request) (response, error) {
	if _, err := query(r); err != nil {
		return response{}, err
	}
	return response{raw: r.h.spec, plain: true}, nil
}
