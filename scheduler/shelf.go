package scheduler

import (
	"hash/maphash"
	"iter"
)

// shelf keeps every job that is known, by its key. There may be millions, and the
// collector follows each pointer to each of them, over and over: so they stand side
// by side in few pieces of memory, which it finds at once, and are found by the
// hash of their key, in which it finds nothing to follow.
//
//	key ──► hash ──► place ──► board of 1024 jobs
//
// A job keeps its place until it is dropped; the next one to come takes it then. Boards
// are not given back: most jobs that go make room for others.
type shelf struct {
	hash   func(key string) uint64
	places map[uint64]uint32 // by the key's hash
	clash  map[string]uint32 // by the key, where another one has the same hash
	boards [][]job
	free   []uint32 // places whose jobs were dropped
}

// boardSize is how many jobs stand on a board. More would be a waste where there
// are few, fewer would be more to find.
const boardSize = 1024

func newShelf() shelf {
	seed := maphash.MakeSeed()
	hash := func(key string) uint64 { return maphash.String(seed, key) }
	return shelf{hash: hash, places: map[uint64]uint32{}, clash: map[string]uint32{}}
}

// len is how many jobs there are.
func (s *shelf) len() int { return len(s.places) + len(s.clash) }

func (s *shelf) at(place uint32) *job {
	return &s.boards[place/boardSize][place%boardSize]
}

// find gives the place of the job with the key.
func (s *shelf) find(key string) (hash uint64, place uint32, there bool) {
	hash = s.hash(key)
	place, there = s.places[hash]
	if there && s.at(place).key() != key || !there && len(s.clash) > 0 {
		place, there = s.clash[key]
	}
	return hash, place, there
}

// get gives the job with the key, nil if there is none. It is good until it is
// dropped or another one is put in its place.
func (s *shelf) get(key string) *job {
	_, place, there := s.find(key)
	if !there {
		return nil
	}
	return s.at(place)
}

// put keeps a job, in the place of the one with the same key if there is one.
func (s *shelf) put(j *job) *job {
	hash, place, there := s.find(j.key())
	if !there {
		place = s.room()
		if _, taken := s.places[hash]; taken {
			s.clash[j.key()] = place
		} else {
			s.places[hash] = place
		}
	}
	at := s.at(place)
	*at = *j
	return at
}

// room gives a place where no job stands.
func (s *shelf) room() uint32 {
	if n := len(s.free); n > 0 {
		place := s.free[n-1]
		s.free = s.free[:n-1]
		return place
	}
	last := len(s.boards) - 1
	if last < 0 || len(s.boards[last]) == boardSize {
		s.boards = append(s.boards, make([]job, 0, boardSize))
		last++
	}
	s.boards[last] = s.boards[last][:len(s.boards[last])+1]
	return uint32(last*boardSize + len(s.boards[last]) - 1)
}

// drop forgets the job with the key.
func (s *shelf) drop(key string) {
	hash, place, there := s.find(key)
	if !there {
		return
	}
	if first, ok := s.places[hash]; ok && first == place {
		delete(s.places, hash)
	} else {
		delete(s.clash, key)
	}
	*s.at(place) = job{}
	s.free = append(s.free, place)
}

// all gives every job, in no order. None may come or go meanwhile.
func (s *shelf) all() iter.Seq[*job] {
	return func(yield func(*job) bool) {
		for _, board := range s.boards {
			for i := range board {
				if board[i].kind != nil && !yield(&board[i]) {
					return
				}
			}
		}
	}
}
