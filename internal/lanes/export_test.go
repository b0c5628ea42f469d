package lanes

// Remembered returns the number of endpoints and accounts of which something is
// kept.
func (s *Scheduler[J]) Remembered() (endpoints, accounts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lanes), len(s.accounts)
}
