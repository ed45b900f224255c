package ctlog

// Head returns the published tree's size and root, and false when there is none yet.
func (s *Server) Head() (size uint64, root [32]byte, ok bool) {
	h, ok := s.tree.Head()
	return h.Size, h.Root, ok
}
