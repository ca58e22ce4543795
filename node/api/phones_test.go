package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"tandem/fsm"
	"tandem/node/api/client"
	"tandem/sip/auth"
)

func TestPhones(t *testing.T) {
	w := newWorld(t)
	w.business()
	c := w.as(client.RoleRouting)
	p, _, err := c.PutPhone(t.Context(), "1001", client.PhoneSettings{Account: "acme", Password: "wonder", MaxCalls: 2})
	if err != nil || !p.HasPassword || p.Password != "" || p.MaxCalls != 2 {
		t.Fatalf("got %+v, %v", p, err)
	}
	secret := func() (ha1 []byte) {
		w.View(func(s *fsm.State) {
			phone, _ := s.Phone("1001")
			for _, k := range phone.Secrets {
				if k.Algorithm == "SHA-256" {
					ha1 = k.HA1
				}
			}
		})
		return ha1
	}
	want := auth.HA1("1001", "tandem", "wonder", auth.SHA256)
	if got := secret(); string(got) != string(want) {
		t.Errorf("HA1 %x, want %x", got, want)
	}
	if p, _, err = c.PutPhone(t.Context(), "1001", client.PhoneSettings{Account: "acme", LockIn: true}); err != nil || !p.HasPassword || !p.LockIn {
		t.Errorf("another setting: %+v, %v", p, err)
	}
	if p, _, err = c.PutPhone(t.Context(), "1001", client.PhoneSettings{Account: "acme", User: "bob"}); err != nil || p.HasPassword {
		t.Errorf("another user keeps the password: %+v, %v", p, err)
	}

	w.must(&fsm.PutBinding{
		Number: "1001", CallID: "c", CSeq: 1, Flow: fsm.Flow{Line: "203.0.113.20", Via: "udp"},
		Contacts: []fsm.Contact{{URI: "sip:1001@198.51.100.7", Q: 500, For: time.Hour}},
	})
	p, _, err = c.Phone(t.Context(), "1001")
	if err != nil || len(p.Contacts) != 1 || p.Contacts[0].URI != "sip:1001@198.51.100.7" || p.Contacts[0].Q != 0.5 {
		t.Errorf("contacts %+v, %v", p.Contacts, err)
	}
	if _, err := w.as(client.RoleOperator).DropContacts(t.Context(), "1001"); err != nil {
		t.Error(err)
	}
	if p, _, err = c.Phone(t.Context(), "1001"); err != nil || len(p.Contacts) != 0 {
		t.Errorf("contacts %+v, %v", p.Contacts, err)
	}
	list, err := c.Phones(t.Context(), client.GatewayQuery{Account: "acme"})
	if err != nil || len(list.Items) != 1 {
		t.Errorf("list %+v, %v", list, err)
	}
	if _, err := c.DeletePhone(t.Context(), "1001"); err != nil {
		t.Error(err)
	}
	if _, _, err := c.Phone(t.Context(), "1001"); err == nil || !strings.Contains(err.Error(), "not there") {
		t.Errorf("got %v", err)
	}
	if r, body := w.request(http.MethodGet, "/phones", w.token(client.RoleRouting), ""); strings.Contains(body, "wonder") {
		t.Errorf("%d: a password in %s", r.StatusCode, body)
	}
}
