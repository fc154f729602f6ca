package scheduler

// jitterHash spreads the occurrences of jobs: a pure function of the job's key
// and the nominal due time, so that whoever computes an occurrence again, here
// or elsewhere, finds the same one. It must never change: run ids hold its
// results. It is FNV-1a over the key, then MurmurHash3's 64-bit finaliser.
func jitterHash(key string, nominal int64) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	h ^= uint64(nominal)
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
