package tuf

import "time"

// What a mirror may send, in bytes. Everything is small: these are keys, names and dates.
const (
	// maxRoot: the public instance's root.json has 6 kB with six keys; a hundred keys fit.
	maxRoot = 256 << 10
	// maxTimestamp: it names one file and has one signature, some 500 bytes.
	maxTimestamp = 16 << 10
	// maxSnapshot: it names one file for each targets role; a thousand delegations fit.
	maxSnapshot = 256 << 10
	// maxTargets: it names a dozen files; thousands fit.
	maxTargets = 2 << 20
	// maxTarget: the largest known trusted root has some 60 kB. The same limit holds for one given as a file.
	maxTarget = 4 << 20

	// maxRotations bounds the roots that one refresh may go through. The public instance made 15 in five years.
	maxRotations = 256
	// maxDepth bounds the nesting of metadata; delegations with their keys need 7.
	maxDepth = 32
	// maxValues bounds the JSON values of one file, each of which takes some hundred bytes of memory. Targets metadata of
	// the largest size has some 60,000 when it lists honest files.
	maxValues = 100_000
	// maxKeys bounds the keys of a root or of a role's delegations, the keys of a role, and signatures, each of which is
	// checked. Repositories have a dozen.
	maxKeys = 128
	// maxPaths bounds the patterns of one delegation; 16,384 hash prefixes are the most that python-tuf's bins have, and
	// no repository of trust comes near.
	maxPaths = 16384
	// maxDelegations bounds the delegated roles that the search for one target visits. go-tuf and python-tuf have the same.
	maxDelegations = 32
	// maxRoleName bounds the name of a delegated role, which becomes a file name.
	maxRoleName = 100
	// maxRedirects bounds redirects, which must stay on the mirror's host.
	maxRedirects = 4
	// maxMirror bounds the length of a mirror's address, since it becomes a file name, of which systems allow 255 bytes.
	maxMirror = 200
)

const (
	// refreshTime bounds a refresh unless [Config.Timeout] says otherwise: five small files on a slow line.
	refreshTime = 30 * time.Second
	// lockTime is how long a process waits for others that write the same cache. Writing takes milliseconds. Where many
	// stand in line what they would write is much the same, and not worth more waiting.
	lockTime = 500 * time.Millisecond
	// initializeTime is how long initializing waits for them. It has to write, and somebody waits for it.
	initializeTime = 30 * time.Second
	// noteEvery is how old the note of the last refresh may be before it is written anew.
	noteEvery = 10 * time.Minute
)
