package tokenpin

import (
	"strconv"
	"strings"
)

// Status is the result of a call. Every error of this package is a Status, or a [ConfigError]
// around one, so errors.Is finds it:
//
//	if errors.Is(err, tokenpin.ErrStale) { ... }
//
// The numbers are those of the C interface, and are never reused. Some of them, such as
// ErrMisaligned, come only from C. StatusOK and StatusEnd are no errors, and no function of this
// package returns them.
type Status int32

// String returns the stable name of the status, such as "slot_range", fit for a metric's label.
func (s Status) String() string {
	if name, _ := s.text(); name != "" {
		return name
	}
	return strconv.Itoa(int(s))
}

// Error describes the status in a sentence. It never contains an argument.
func (s Status) Error() string {
	if _, message := s.text(); message != "" {
		return "tokenpin: " + message
	}
	return "tokenpin: unknown status " + strconv.Itoa(int(s))
}

func (s Status) err() error {
	if s == StatusOK {
		return nil
	}
	return s
}

// ConfigError says why a configuration was refused, and where. Unwrap returns the Status.
type ConfigError struct {
	// Status is the error.
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

// Unwrap returns the Status, for errors.Is.
func (e *ConfigError) Unwrap() error { return e.Status }
