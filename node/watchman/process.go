package watchman

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotChild means that the process to be guarded is not the guard's parent,
// most likely because it has just ended.
var ErrNotChild = errors.New("the node is not the parent of its guard")

// process is a handle of another process (pidfd_open(2)). Unlike a number it
// never comes to mean another process.
type process struct {
	pid  int
	file *os.File
}

// openProcess opens our parent.
func openProcess(pid int) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("pidfd of %d: %w", pid, err)
	}
	// If the parent had ended before, its number may be another's by now; then we
	// have been given a new parent already.
	if parent := os.Getppid(); parent != pid {
		return nil, errors.Join(fmt.Errorf("process %d, parent is %d: %w", pid, parent, ErrNotChild), unix.Close(fd))
	}
	return &process{pid: pid, file: os.NewFile(uintptr(fd), "pidfd")}, nil
}

// wait returns true when the process has ended, false when ctx has.
func (p *process) wait(ctx context.Context) bool {
	stop := context.AfterFunc(ctx, func() {
		_ = p.file.SetReadDeadline(time.Unix(1, 0)) // ends the read below
	})
	defer stop()
	raw, err := p.file.SyscallConn()
	if err != nil {
		return false
	}
	ended := false
	_ = raw.Read(func(fd uintptr) bool { // its error is the deadline: not ended
		ended = readable(int(fd))
		return ended
	})
	return ended
}

// readable asks without waiting: a pidfd is readable once its process has ended.
func readable(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1
}

func (p *process) close() { _ = p.file.Close() }

// Urgent asks the kernel to run this process before others: its work takes a
// millisecond and decides how long calls are silent. It is no error if that is
// not allowed.
func Urgent() error { return unix.Setpriority(unix.PRIO_PGRP, 0, urgentNice) }

// urgentNice is the priority of a guard; a node's is 0 (setpriority(2)).
const urgentNice = -10
