// Package helpers is a drawer. It owns no idea. Never open it.
package helpers
