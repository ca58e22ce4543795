package api

import (
	"bytes"
	"errors"
	"net/http"
	"testing"

	"tandem/node/api/client"
	"tandem/node/backup"
)

// A backup arrives whole, or its reader sees that it is not.
func TestBackup(t *testing.T) {
	w := newWorld(t)
	var got bytes.Buffer
	if err := w.admin.Backup(t.Context(), &got); err != nil {
		t.Fatal(err)
	}
	if m, err := backup.Read(&got, []byte("key"), backup.Sink{}); err != nil || m.Index != 7 || m.State != 500_000 {
		t.Errorf("%+v, %v", m, err)
	}
	wants(t, w.as(client.RoleOperator).Backup(t.Context(), &got), http.StatusForbidden, client.CodeForbidden)
	got.Reset()
	w.breakWith(errors.New("disk"))
	if err := w.admin.Backup(t.Context(), &got); err == nil {
		t.Error("a backup that broke off came without an error")
	}
	if _, err := backup.Read(&got, nil, backup.Sink{}); !errors.Is(err, backup.ErrDamaged) {
		t.Error(err)
	}
}
