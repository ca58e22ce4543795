package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"tandem/node/api/client"
)

func (s *server) addBackups(api huma.API) {
	op := tagged("cluster", operation(api, http.MethodGet, "/backup", "get-backup", "Stream a backup of the cluster", client.RoleAdmin))
	op.Responses["200"] = &huma.Response{
		Description: "A backup; one without its seal at the end is worth nothing",
		Content:     map[string]*huma.MediaType{client.BackupType: {}},
	}
	huma.Register(api, op, s.backup)
}

// backup streams. What goes wrong after the first byte breaks the connection: the
// file has no seal then.
func (s *server) backup(_ context.Context, _ *struct{}) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", client.BackupType)
		m, err := s.cfg.Operator.Backup(ctx.Context(), ctx.BodyWriter())
		if err != nil {
			s.log.Error("backup not written", "err", err)
			panic(http.ErrAbortHandler)
		}
		s.log.Info("backup written", "index", m.Index, "state", m.State, "cdrs", m.CDRs, "transfers", m.Transfers)
	}}, nil
}
