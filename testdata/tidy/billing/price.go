// Package prices has its comment in the wrong file.
package billing

import stamp "time"

type clock struct{ Now func() int }

// Price asks for the time, and also reads a field that is only called Now.
func Price(time clock) int64 { return int64(time.Now()) + stamp.Now().Unix() }
