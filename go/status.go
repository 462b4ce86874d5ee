package tokenpin

import (
	"strconv"
	"strings"
)

// Status says what came of a call. Every error of this package is a Status or a [ConfigError] around one, so
// that errors.Is finds it:
//
//	if errors.Is(err, tokenpin.ErrStale) { ... }
//
// The numbers are those of the C interface and are never reused. A Status needs no memory.
type Status int32

const (
	// StatusOK and StatusEnd are no errors, and no function of this package returns them.
	StatusOK  Status = 0
	StatusEnd Status = 10

	ErrNullPointer       Status = 1  // a pointer is nil that must not be
	ErrMisaligned        Status = 2  // a pointer is misaligned; not from Go
	ErrLength            Status = 3  // slices that belong together differ in length
	ErrBadEnum           Status = 4  // a number is no value of its enum
	ErrOverlap           Status = 5  // an output overlaps an input
	ErrStructSize        Status = 6  // the library knows another structure; not from Go
	ErrNotInitialised    Status = 7  // it was closed, or not made by its constructor
	ErrOutOfMemory       Status = 8  // malloc gave nothing
	ErrBufferTooSmall    Status = 9  // a buffer is too small; not from Go, which grows it
	ErrBadDecision       Status = 11 // the decision was not made by this library, or was changed
	ErrBucketCount       Status = 20 // the number of buckets is not in 1 to MaxBuckets
	ErrScopeLength       Status = 21 // a scope is longer than MaxScope bytes
	ErrKeyLength         Status = 22 // an affinity key is empty, too long, or does not fit its kind
	ErrIdentityEmpty     Status = 23 // an identity is empty
	ErrWeight            Status = 24 // a weight is over MaxWeight
	ErrUntil             Status = 25 // an until is negative or over MaxUntil
	ErrVacant            Status = 26 // a vacant slot stays vacant, and no other becomes so
	ErrSlotRange         Status = 27 // a slot number is negative or not below the number of slots
	ErrSlotCount         Status = 28 // the number of slots is not in 1 to MaxBuckets
	ErrDuplicateIdentity Status = 29 // two slots have the same identity
	ErrZeroSecret        Status = 30 // a secret is all zero
	ErrDuplicateSecret   Status = 31 // a secret is used twice
	ErrDuplicateKeyID    Status = 32 // two cookie keys have the same id
	ErrKeyCount          Status = 33 // the number of cookie keys is not in 1 to MaxCookieKeys
	ErrSigningKeys       Status = 34 // not exactly one cookie key signs
	ErrCookieName        Status = 35 // a cookie name is not 1 to MaxCookieName token bytes
	ErrAttribute         Status = 36 // a cookie's value or attribute has a bad byte, is too long, or is no path
	ErrNamePrefix        Status = 37 // the attributes break the rules of the cookie name's prefix
	ErrNeedsSecure       Status = 38 // SameSite=None and Partitioned need Secure
	ErrMaxAge            Status = 39 // Max-Age is over MaxMaxAge
	ErrSuccessRange      Status = 40 // the success range is empty or not within 100 to 599
	ErrPattern           Status = 41 // a classification pattern is empty or has an empty segment
	ErrTime              Status = 42 // a cookie cannot be issued after the year 2106
	ErrEntropy           Status = 43 // entropy, or an id hint, is needed and all zero
	ErrStale             Status = 44 // the decision belongs to another configuration
)

var statuses = map[Status]struct{ name, message string }{
	StatusOK:             {"ok", "done"},
	ErrNullPointer:       {"null_pointer", "a pointer is nil that must not be"},
	ErrMisaligned:        {"misaligned", "a pointer is misaligned"},
	ErrLength:            {"length", "slices that belong together differ in length"},
	ErrBadEnum:           {"bad_enum", "a number is no value of its enum"},
	ErrOverlap:           {"overlap", "an output overlaps an input"},
	ErrStructSize:        {"struct_size", "the library knows another structure"},
	ErrNotInitialised:    {"not_initialised", "it was closed, or not made by its constructor"},
	ErrOutOfMemory:       {"out_of_memory", "no memory is left"},
	ErrBufferTooSmall:    {"buffer_too_small", "the buffer is too small"},
	StatusEnd:            {"end", "there are no more values"},
	ErrBadDecision:       {"bad_decision", "the decision was not made by this library, or was changed"},
	ErrBucketCount:       {"bucket_count", "the number of buckets is not in 1 to 2147483647"},
	ErrScopeLength:       {"scope_length", "the scope is longer than 1024 bytes"},
	ErrKeyLength:         {"key_length", "the affinity key is empty, longer than 4096 bytes, an id not of 16 bytes, or of another kind than the cookie"},
	ErrIdentityEmpty:     {"identity_empty", "the identity is empty"},
	ErrWeight:            {"weight", "the weight is over 65536"},
	ErrUntil:             {"until", "the until is negative or over 2^45-1"},
	ErrVacant:            {"vacant", "a vacant slot stays vacant, and no other becomes so"},
	ErrSlotRange:         {"slot_range", "the slot number is not below the number of slots"},
	ErrSlotCount:         {"slot_count", "the number of slots is not in 1 to 2147483647"},
	ErrDuplicateIdentity: {"duplicate_identity", "two slots have the same identity"},
	ErrZeroSecret:        {"zero_secret", "the secret is all zero"},
	ErrDuplicateSecret:   {"duplicate_secret", "the secret is used twice"},
	ErrDuplicateKeyID:    {"duplicate_key_id", "two cookie keys have the same id"},
	ErrKeyCount:          {"key_count", "the number of cookie keys is not in 1 to 8"},
	ErrSigningKeys:       {"signing_keys", "not exactly one cookie key signs"},
	ErrCookieName:        {"cookie_name", "the cookie name is not 1 to 128 token bytes"},
	ErrAttribute:         {"attribute", "the value or attribute has a bad byte or is too long, or the path does not start with a slash"},
	ErrNamePrefix:        {"name_prefix", "the cookie's attributes break the rules of its name's prefix"},
	ErrNeedsSecure:       {"needs_secure", "SameSite=None and Partitioned need Secure"},
	ErrMaxAge:            {"max_age", "Max-Age is over 34560000 seconds"},
	ErrSuccessRange:      {"success_range", "the success range is empty or not within 100 to 599"},
	ErrPattern:           {"pattern", "the classification pattern has an empty segment"},
	ErrTime:              {"time", "the time does not fit a cookie: it is past the year 2106"},
	ErrEntropy:           {"entropy", "entropy, or the id hint, is needed and all zero"},
	ErrStale:             {"stale", "the decision belongs to another configuration"},
}

// String gives the stable name of the status, such as "slot_range", fit for a metric's label.
func (s Status) String() string {
	if status, ok := statuses[s]; ok {
		return status.name
	}
	return strconv.Itoa(int(s))
}

// Error says in a sentence what is wrong. It never contains anything that was passed in.
func (s Status) Error() string {
	if status, ok := statuses[s]; ok {
		return "tokenpin: " + status.message
	}
	return "tokenpin: unknown status " + strconv.Itoa(int(s))
}

func (s Status) err() error {
	if s == StatusOK {
		return nil
	}
	return s
}

// ConfigError says why a configuration was refused, and where. Unwrap gives the Status.
type ConfigError struct {
	// Status is what is wrong.
	Status Status
	// Field is the part of the configuration.
	Field Field
	// Index is the position within the field's list, 0 for single values.
	Index int
}

// Error names the field, the element if the field is a list, and what is wrong with it.
func (e *ConfigError) Error() string {
	where := e.Field.String()
	switch e.Field {
	case FieldCookieKeys, FieldSlots, FieldRules:
		where += "[" + strconv.Itoa(e.Index) + "]"
	}
	return "tokenpin: " + where + ": " + strings.TrimPrefix(e.Status.Error(), "tokenpin: ")
}

// Unwrap gives the Status, for errors.Is.
func (e *ConfigError) Unwrap() error { return e.Status }
