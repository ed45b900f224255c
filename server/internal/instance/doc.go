// Package instance is the process: it opens the services that the configuration names with the keys that the state
// names, mounts them on one HTTP server, and follows the state when a rotation changes it, without refusing a request.
//
// A process follows the state when it is told to, through the socket in the state directory (see [Admin]) or by SIGHUP.
package instance
