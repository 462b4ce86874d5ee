package tokenpin

import "math/bits"

// This file and the others called purego_*.go are the backend in pure Go, written from
// docs/spec/selection.md, docs/spec/cookie-format.md and docs/spec/decision.md, in the order of
// those pages. A build over cgo contains it too, to be compared with the library, and drops it at
// link.

// sipKey is a key of SipHash: 16 bytes as two little-endian words.
type sipKey struct{ k0, k1 uint64 }

func newSipKey(key *[16]byte) sipKey { return sipKey{le64(key[:8]), le64(key[8:])} }

// literalKey is a key of 16 ASCII bytes.
func literalKey(key string) sipKey { return sipKey{le64(key[:8]), le64(key[8:16])} }

func le64[T string | []byte](b T) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// sip is SipHash (Aumasson and Bernstein, 2012) in progress.
type sip struct {
	v0, v1, v2, v3 uint64
	tail           uint64 // the bytes that do not fill a word yet
	used           uint   // their number
	n              uint64 // the number of all bytes
	c, d           uint8  // rounds for a word, and at the end
}

func newSip(key sipKey, c, d uint8) sip {
	return sip{
		v0: key.k0 ^ 0x736f6d6570736575,
		v1: key.k1 ^ 0x646f72616e646f6d,
		v2: key.k0 ^ 0x6c7967656e657261,
		v3: key.k1 ^ 0x7465646279746573,
		c:  c, d: d,
	}
}

// sip128 is the variant with 16 bytes of output.
func sip128(key sipKey) sip {
	s := newSip(key, 2, 4)
	s.v1 ^= 0xee
	return s
}

func (s *sip) rounds(n uint8) {
	v0, v1, v2, v3 := s.v0, s.v1, s.v2, s.v3
	for ; n > 0; n-- {
		v0 += v1
		v1 = bits.RotateLeft64(v1, 13) ^ v0
		v0 = bits.RotateLeft64(v0, 32)
		v2 += v3
		v3 = bits.RotateLeft64(v3, 16) ^ v2
		v0 += v3
		v3 = bits.RotateLeft64(v3, 21) ^ v0
		v2 += v1
		v1 = bits.RotateLeft64(v1, 17) ^ v2
		v2 = bits.RotateLeft64(v2, 32)
	}
	s.v0, s.v1, s.v2, s.v3 = v0, v1, v2, v3
}

func (s *sip) word(m uint64) {
	s.v3 ^= m
	s.rounds(s.c)
	s.v0 ^= m
}

// bytes adds n bytes, 1 to 8, from the low end of x, whose other bits are zero.
func (s *sip) bytes(x uint64, n uint) {
	s.n += uint64(n)
	s.tail |= x << (8 * s.used)
	s.used += n
	if s.used >= 8 {
		s.word(s.tail)
		s.used -= 8
		s.tail = x >> (8 * (n - s.used))
	}
}

func (s *sip) u8(x uint8)   { s.bytes(uint64(x), 1) }
func (s *sip) u32(x uint32) { s.bytes(uint64(x), 4) }
func (s *sip) u64(x uint64) { s.bytes(x, 8) }

func (s *sip) text(p string) { sipText(s, p) }

func sipText[T string | []byte](s *sip, p T) {
	for len(p) >= 8 {
		s.u64(le64(p))
		p = p[8:]
	}
	if len(p) > 0 {
		var x uint64
		for i := len(p) - 1; i >= 0; i-- {
			x = x<<8 | uint64(p[i])
		}
		s.bytes(x, uint(len(p)))
	}
}

// counted adds the length of p and p.
func (s *sip) counted(p string) {
	s.u32(uint32(len(p)))
	s.text(p)
}

func (s *sip) end() { s.word(s.tail | s.n<<56) }

func (s *sip) sum64() uint64 {
	s.end()
	s.v2 ^= 0xff
	s.rounds(s.d)
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}

// sum128 gives the 16 bytes of output as two little-endian words.
func (s *sip) sum128() (low, high uint64) {
	s.end()
	s.v2 ^= 0xee
	s.rounds(s.d)
	low = s.v0 ^ s.v1 ^ s.v2 ^ s.v3
	s.v1 ^= 0xdd
	s.rounds(s.d)
	return low, s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}
