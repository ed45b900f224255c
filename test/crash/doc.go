// Package crash has no code of its own: its tests kill bulla-server at every point where it touches the disk, fail its
// syncs, fill its disk, and then ask whether everything that it ever acknowledged is still provable. "bulla flush" is killed
// at every request and at every call that touches the disk; run again, it has each signature logged and attached once.
//
// kill -9 alone proves little, since what was written survives in the system's cache. So a trace of the system calls is
// read as well: before an answer leaves the process, every file and directory that it rests on must have been synced.
//
// They need strace and Linux. The CI size takes a sample of the points; BULLA_SOAK=1 takes all of them.
package crash
