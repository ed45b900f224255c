// Package page is how the services' web pages look and what protects them: one layout, one stylesheet, one set of
// response headers. The issuer's login pages and the log browser are made with it.
//
// A page is a html/template that defines "content". Whatever a page shows is escaped for its place by that package. The
// headers allow no script but the project's own file, and that only on pages which ask for it; no frame; no form that
// goes elsewhere than the page says.
package page
