package verifier

// NewFileKeySetReading reads by read: no test can have a file system that hangs.
func NewFileKeySetReading(cfg FileConfig, read func(path string) ([]byte, error)) (*FileKeySet, error) {
	return newFileKeySet(cfg, read)
}
