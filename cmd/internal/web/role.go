package web

// Role is how much somebody may do beside ringing services. Each includes the
// lesser ones.
type Role int

// The roles, and the scopes of the same names.
const (
	// NoRole may do nothing of it.
	NoRole Role = iota
	// Viewer looks at everything.
	Viewer
	// Operator runs, activates, deactivates, cancels and redrives as well.
	Operator
	// Admin makes, changes and deletes as well, and rings every service.
	Admin
)

// String is the scope that gives the role.
func (r Role) String() string {
	switch r {
	case Viewer:
		return "viewer"
	case Operator:
		return "operator"
	case Admin:
		return "admin"
	}
	return "none"
}

// roleOf is the role that a scope gives.
func roleOf(scope string) Role {
	for r := Viewer; r <= Admin; r++ {
		if scope == r.String() {
			return r
		}
	}
	return NoRole
}

// role is the greatest that its scopes give.
func (t *Token) role() Role {
	most := NoRole
	for _, s := range t.Scopes {
		most = max(most, roleOf(s))
	}
	return most
}
