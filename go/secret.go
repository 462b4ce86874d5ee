package tokenpin

import "fmt"

// Secret is a key of 16 bytes. It is never printed.
type Secret [16]byte

// Format writes "[secret]", for any verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[secret]")) }

// MarshalText returns "[secret]", so that encoders such as those of encoding/json and log/slog do
// not reveal it.
func (s Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }
