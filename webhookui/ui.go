package webhookui

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/ringyo-ai/webhook"
	"github.com/ringyo-ai/webhook/internal/safe"
	"github.com/ringyo-ai/webhook/webhookapi"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed assets/*
var assetFiles embed.FS

// Brand is how the pages look. The zero value is a plain one.
type Brand struct {
	Name   string // in the title and the header; defaults to "Webhooks"
	Logo   []byte // shown beside the name, at most 64 KiB
	Type   string // of Logo: image/svg+xml, image/png or image/webp
	Accent string // the colour of links and buttons, such as "#2f6feb", on white and with white text on it; dark pages have a lighter tone of it
}

// Options configure the portal. Only Authorize is required.
type Options struct {
	// Authorize says whose endpoints a request is about, as for the management API. It
	// is the host's own session: no page has a token in its address.
	Authorize func(*http.Request) (webhookapi.Access, error)

	// SingleTenant allows an empty Access.AccountID, as in [webhookapi.Options].
	SingleTenant bool

	// Unauthorized responds to those whom Authorize turned away, for example with a
	// redirect to the platform's own login. Defaults to a page that says so.
	Unauthorized http.Handler

	// EventTypes are offered as checkboxes. Defaults to the types of
	// [webhook.EventTypes].
	EventTypes []webhookapi.EventType

	// CheckReachable is as in [webhookapi.Options].
	CheckReachable bool

	Brand Brand

	// Texts replaces texts by their keys, see [Texts]; keys that are left out stay
	// English.
	Texts map[string]string

	// FrameAncestors are the origins that may show the pages in a frame, such as
	// "https://app.example.com". Defaults to none.
	FrameAncestors []string

	// Logger gets changes and faults of our own side. Defaults to slog.Default().
	Logger *slog.Logger
}

// OperatorOptions configure the operator's view. Only Authorize is required.
type OperatorOptions struct {
	// Authorize returns nil for those who may see all accounts,
	// [webhookapi.ErrUnauthenticated] or [webhookapi.ErrForbidden] for others.
	Authorize func(*http.Request) error

	Brand          Brand
	Texts          map[string]string
	FrameAncestors []string
	Logger         *slog.Logger
}

// ui is what both handlers share.
type ui struct {
	engine *webhook.Engine
	log    *slog.Logger
	mux    *http.ServeMux
	pages  map[string]*template.Template
	texts  map[string]string
	brand  Brand
	policy string
	guard  *http.CrossOriginProtection
}

// settings are the options that both handlers have.
type settings struct {
	brand     Brand
	texts     map[string]string
	ancestors []string
	log       *slog.Logger
}

var (
	colour = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)
	origin = regexp.MustCompile(`^https?://[A-Za-z0-9.-]+(:\d+)?$`)
)

func newUI(engine *webhook.Engine, s settings, wrong func(field, problem string)) *ui {
	if engine == nil {
		wrong("engine", "is required")
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.brand.Name == "" {
		s.brand.Name = "Webhooks"
	}
	if s.brand.Accent != "" && !colour.MatchString(s.brand.Accent) {
		wrong("Brand.Accent", `must be a colour such as "#2f6feb"`)
	}
	switch {
	case len(s.brand.Logo) > 64<<10:
		wrong("Brand.Logo", "must have at most 64 KiB")
	case len(s.brand.Logo) > 0 && s.brand.Type != "image/svg+xml" && s.brand.Type != "image/png" && s.brand.Type != "image/webp":
		wrong("Brand.Type", "must be image/svg+xml, image/png or image/webp")
	}
	ancestors := "'none'"
	for i, a := range s.ancestors {
		if !origin.MatchString(a) {
			wrong(fmt.Sprintf("FrameAncestors[%d]", i), `must be an origin such as "https://app.example.com"`)
		}
		ancestors = strings.Join(s.ancestors, " ")
	}
	texts := Texts()
	for key, text := range s.texts {
		if _, known := texts[key]; !known {
			wrong("Texts["+key+"]", "is not the key of a text")
		}
		texts[key] = text
	}
	u := &ui{
		engine: engine, log: safe.Logger(s.log), mux: http.NewServeMux(), texts: texts, brand: s.brand,
		policy: "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
			"form-action 'self'; base-uri 'none'; frame-ancestors " + ancestors,
		guard: http.NewCrossOriginProtection(),
	}
	u.guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.fail(w, r, &pageError{http.StatusForbidden, "error.foreign"})
	}))
	u.pages = u.parse()
	u.assets()
	return u
}

// parse makes a template of each page, within the layout.
func (u *ui) parse() map[string]*template.Template {
	pages := map[string]*template.Template{}
	layout := template.Must(template.New("layout.html").Funcs(u.funcs()).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html"))
	names, _ := fs.Glob(templateFiles, "templates/page_*.html") // the pattern is well formed
	for _, name := range names {
		t := template.Must(template.Must(layout.Clone()).ParseFS(templateFiles, name))
		pages[strings.TrimSuffix(strings.TrimPrefix(name, "templates/page_"), ".html")] = t
	}
	return pages
}

// assets serves the stylesheet, the script, the icon and the logo.
func (u *ui) assets() {
	serve := func(path, contentType string, body []byte) {
		u.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			u.secure(w.Header())
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Cache-Control", "max-age=300")
			_, _ = w.Write(body)
		})
	}
	read := func(name string) []byte {
		b, err := assetFiles.ReadFile("assets/" + name)
		if err != nil {
			panic(err) // it is part of this program
		}
		return b
	}
	css := read("style.css")
	if u.brand.Accent != "" {
		css = append(bytes.Clone(css), "\n:root { --brand: "+u.brand.Accent+"; }\n"...)
	}
	serve("/assets/style.css", "text/css; charset=utf-8", css)
	serve("/assets/icon.svg", "image/svg+xml", read("icon.svg")) // or the browser would look beside the prefix
	serve("/assets/script.js", "text/javascript; charset=utf-8", read("script.js"))
	if len(u.brand.Logo) > 0 {
		serve("/assets/logo", u.brand.Type, u.brand.Logo)
	}
}

// secure sets the headers of every response.
func (u *ui) secure(h http.Header) {
	h.Set("Content-Security-Policy", u.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

// view is what a template shows.
type view struct {
	Title string
	Base  string // of relative links: the way to the first page
	Brand Brand
	Lang  string
	Home  bool   // there is a first page to go back to
	Flash string // what has just been done
	Data  any
}

// base returns the way from the page of an address to the first page. A slash that is
// escaped is part of a name, for a browser too.
func base(at *url.URL) string {
	if n := strings.Count(at.EscapedPath(), "/") - 1; n > 0 {
		return strings.Repeat("../", n)
	}
	return "./"
}

// render writes a page. It is made whole before a byte of it is sent.
func (u *ui) render(w http.ResponseWriter, r *http.Request, status int, page, title string, data any) {
	v := view{Title: title, Base: base(r.URL), Brand: u.brand, Lang: u.texts["lang"], Home: r.URL.Path != "/", Flash: u.flash(r), Data: data}
	var b bytes.Buffer
	if err := u.pages[page].ExecuteTemplate(&b, "layout.html", v); err != nil {
		u.log.ErrorContext(r.Context(), "webhookui: a page cannot be rendered", "page", page, "error", err)
		http.Error(w, u.texts["error.internal"], http.StatusInternalServerError)
		return
	}
	u.secure(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// flash returns the text for what the page before did.
func (u *ui) flash(r *http.Request) string {
	done := r.URL.Query().Get("done")
	if done == "" {
		return ""
	}
	return fill(u.texts["done."+done], "n", count(number(r.URL.Query().Get("n")))) // a key that there is not shows nothing
}

// pageError is an error that a page shows, by the key of its text.
type pageError struct {
	status int
	key    string
}

// Error implements error.
func (e *pageError) Error() string { return e.key }

// fail writes the page of an error.
func (u *ui) fail(w http.ResponseWriter, r *http.Request, err error) {
	var p *pageError
	switch {
	case errors.As(err, &p):
	case errors.Is(err, webhook.ErrNotFound):
		p = &pageError{http.StatusNotFound, "error.not_found"}
	case errors.Is(err, webhook.ErrInvalidArgument):
		p = &pageError{http.StatusBadRequest, "error.request"}
	case errors.Is(err, webhook.ErrRevisionMismatch):
		p = &pageError{http.StatusConflict, "error.revision"}
	case errors.Is(err, webhook.ErrSecretLimit):
		p = &pageError{http.StatusConflict, "error.secrets"}
	default:
		if r.Context().Err() == nil {
			u.log.ErrorContext(r.Context(), "webhookui: a request failed", "path", r.URL.Path, "error", err)
		}
		p = &pageError{http.StatusInternalServerError, "error.internal"}
	}
	u.render(w, r, p.status, "error", u.texts["error.title"], u.texts[p.key])
}

// protect recovers from panics, and refuses what other sites send.
func (u *ui) protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer safe.Recover(func(p *safe.Panic) {
			p.Log(u.log, "the dashboard")
			u.fail(w, r, &pageError{http.StatusInternalServerError, "error.internal"})
		})
		u.guard.Handler(next).ServeHTTP(w, r)
	})
}

// Texts returns all texts of the pages in English, by their keys, for translation. What
// stands in {} is replaced.
func Texts() map[string]string { return maps.Clone(english) }
