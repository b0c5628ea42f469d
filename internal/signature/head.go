package signature

// MaxID bounds the ids that are verified, in bytes. This library makes ids of at most
// 64; other senders of Standard Webhooks may make longer ones.
const MaxID = 256

// MaxTimestampDigits bounds the Unix seconds of a timestamp: twelve digits last until
// the year 33658. MaxTimestamp is the largest of that many digits.
const (
	MaxTimestampDigits = 12
	MaxTimestamp       = 999_999_999_999
)

// ValidID reports whether s may be a signed id: 1 to [MaxID] visible ASCII characters,
// none of them a dot. A dot would let "a.1"
// and "2" be shifted into "a" and "1.2", which sign alike; other senders than
// this library may use more characters than it does, but all of them are
// visible ASCII.
func ValidID(s string) bool {
	if s == "" || len(s) > MaxID {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '.' {
			return false
		}
	}
	return true
}

// ParseTimestamp reads Unix seconds: digits alone, [MaxTimestampDigits] at most,
// without leading zeros.
func ParseTimestamp(s string) (int64, bool) {
	if s == "" || len(s) > MaxTimestampDigits || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + int64(c)
	}
	return n, true
}
