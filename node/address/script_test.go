package address_test

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tandem/node/address"
)

// hook writes a script and returns its mover.
func hook(t *testing.T, text string, timeout time.Duration) address.Mover {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	m, err := address.New(address.Config{Script: path, Timeout: timeout})(address.Hook)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestHookIsToldVerbAndAddress(t *testing.T) {
	told := filepath.Join(t.TempDir(), "told")
	m := hook(t, "echo $1 $2 >> "+told, 0)
	ctx, ip := context.Background(), netip.MustParseAddr("203.0.113.20")
	if err := m.Add(ctx, ip, false); err != nil {
		t.Fatal(err)
	}
	if err := m.Yield(ctx, ip); err != nil {
		t.Fatal(err)
	}
	if err := m.Remove(ctx, ip); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(told)
	if err != nil {
		t.Fatal(err)
	}
	if want := "add 203.0.113.20\ndel 203.0.113.20\n"; string(got) != want {
		t.Errorf("the hook was told %q, want %q", got, want)
	}
}

func TestHookThatFailsOrHangsIsAnError(t *testing.T) {
	ctx, ip := context.Background(), netip.MustParseAddr("203.0.113.20")
	err := hook(t, "echo no such route; exit 3", 0).Add(ctx, ip, false)
	if err == nil || !strings.Contains(err.Error(), "no such route") {
		t.Errorf("error %v does not show what the hook said", err)
	}
	start := time.Now()
	err = hook(t, "sleep 60", 50*time.Millisecond).Add(ctx, ip, false)
	if err == nil || !strings.Contains(err.Error(), "not done within 50ms") {
		t.Errorf("a hook that hangs: %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("a hook that hangs was waited for %v", took)
	}
}

func TestKindsNeedTheirConfiguration(t *testing.T) {
	movers := address.New(address.Config{})
	for _, kind := range []string{address.Netlink, address.Hook, "carrier pigeon"} {
		if _, err := movers(kind); err == nil {
			t.Errorf("%s: no error", kind)
		}
	}
	for _, kind := range []string{"", address.Bind, address.Reinvite} {
		if _, err := movers(kind); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
