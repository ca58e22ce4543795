//go:build !linux || !(amd64 || arm64)

package media

import (
	"errors"
	"log/slog"
	"time"
)

// newFastEngine says that only Linux on 64 bits has a faster engine.
func newFastEngine(func() time.Duration, *slog.Logger) (engine, error) {
	return nil, errors.New("no epoll on this system")
}
