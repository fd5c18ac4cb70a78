package store

// Held is how many entries of each kind take up memory.
func (m *Memory) Held() (spent, revoked int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revoked.mu.Lock()
	defer m.revoked.mu.Unlock()
	return len(m.spent.queue), len(m.revoked.table.queue)
}

// HeldRevoked is how many revocations of the file take up memory.
func (f *File) HeldRevoked() int {
	f.revoked.mu.RLock()
	defer f.revoked.mu.RUnlock()
	return len(f.revoked.table.queue)
}

// HoldWrites keeps the file from being written until release is called.
func (f *File) HoldWrites() (release func(), err error) {
	tx, err := f.db.Begin(true)
	if err != nil {
		return nil, err
	}
	return func() { _ = tx.Rollback() }, nil
}

// Writes is how many pages have been written since the file was opened.
func (f *File) Writes() int64 {
	stats := f.db.Stats()
	return stats.TxStats.GetWrite()
}

// ForgetLinks has the file's links be on the disk alone, as after a commit of which
// nobody could tell how it ended.
func (f *File) ForgetLinks() {
	f.links.mu.Lock()
	defer f.links.mu.Unlock()
	clear(f.links.users)
}

// RecodeAccount reads what is held for a user, and encodes it again.
func RecodeAccount(id string, held []byte) ([]byte, error) {
	r, err := readRecord(held)
	if err != nil {
		return nil, err
	}
	a, err := readAccount(id, r)
	if err != nil {
		return nil, err
	}
	return append(a.until().bytes(), a.bytes()...), nil
}

// Syncs says whether a commit waits for the disk.
func (f *File) Syncs() bool { return !f.db.NoSync && !f.db.NoGrowSync }

// Wait returns when everything that was set before has been let in or turned down.
func (c *Cache) Wait() { c.entries.Wait() }
