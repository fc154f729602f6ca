package web

import (
	_ "embed" // the description
	"net/http"
)

//go:embed openapi.yaml
var description []byte

// describe answers with the description of this API, in OpenAPI 3.1.
func (h *Handler) describe(w http.ResponseWriter, r *http.Request) error {
	answer(w, r, http.StatusOK, "application/yaml", description)
	return nil
}
