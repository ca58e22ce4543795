package client

import (
	"context"
	"errors"
	"io"
	"net/http"
)

// BackupType is the content type of a backup.
const BackupType = "application/vnd.tandem.backup"

// Backup writes a backup of the cluster to w, from the first node that answers.
// Whether it is whole, its seal says: backup.Read.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	var last error
	for _, base := range c.bases {
		res, err := c.do(ctx, base, request{method: http.MethodGet, path: "/backup", accept: BackupType})
		if err != nil {
			last = err
			continue
		}
		if res.StatusCode >= http.StatusBadRequest {
			body, err := io.ReadAll(res.Body)
			return errors.Join(problemOf(res, body, 0), err, res.Body.Close())
		}
		_, err = io.Copy(w, res.Body)
		return errors.Join(err, res.Body.Close())
	}
	return &UnreachableError{Addrs: c.bases, Err: last}
}
