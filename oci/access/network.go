package access

import "net/http"

// Network decides where connections may go.
type Network interface {
	// Guard changes a transport, before its first use, to go where it may. It is called for each transport there is.
	Guard(*http.Transport)
	// Named is told the host, with its port if it has one, of each registry that a reference or oci.Options.Repository names,
	// before it is asked.
	Named(registry string)
}
