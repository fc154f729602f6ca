package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/bellhop-run/bellhop/scheduler"
	"github.com/bellhop-run/bellhop/workers"
)

// needs is the role that an action of the dashboard takes.
var needs = map[string]Role{
	"activate": Operator, "deactivate": Operator, "run": Operator, "cancel": Operator, "again": Operator, "redrive": Operator, "bulk": Operator,
	"delete": Admin, "restore": Admin, "drop": Admin, "save": Admin,
}

// act does what a form of the dashboard asks for, and leads to where that shows.
func (h *Handler) act(w http.ResponseWriter, r *http.Request) {
	p := h.blank(r, "Done")
	r.Body = http.MaxBytesReader(w, r.Body, 2*h.nc.MaxPayload()) // a form writes bytes longer
	err := r.ParseForm()
	action := r.PostFormValue("action")
	role, known := needs[action]
	switch {
	case err != nil:
	case !known:
		err = bad("action", "", "there is no action %.40q", action)
	case p.Caller.Role < role:
		err = &scheduler.Error{Code: http.StatusForbidden, Message: "a " + p.Caller.Role.String() + " may not do this", Hint: "it takes the role " + role.String()}
	}
	if err != nil {
		h.render(w, r, "wrong", p, err)
		return
	}
	if action == "save" {
		h.save(w, r, p)
		return
	}
	if action == "bulk" {
		h.bulkPage(w, r, p)
		return
	}
	to, err := h.do(r, action)
	if err != nil {
		h.render(w, r, "wrong", p, err)
		return
	}
	http.Redirect(w, r, p.Base+Pages+to, http.StatusSeeOther)
}

// lead is the address of a page about something, with a word on what was done.
func lead(path, about, id, told string) string {
	q := url.Values{"told": {told}}
	if about != "" {
		q.Set(about, id)
	}
	return path + "?" + q.Encode()
}

// byHand gives a client for what somebody does on a page.
func (h *Handler) byHand(r *http.Request) (*scheduler.Client, error) {
	t := scheduler.Terms{By: h.o.Caller(r).Name, Via: "ui"}
	if text := r.PostFormValue("revision"); text != "" {
		var err error
		if t.Revision, err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, bad("revision", "", "%.40q", text)
		}
	}
	return h.jobs.With(t), nil
}

// do carries out an action, and says where to go.
func (h *Handler) do(r *http.Request, action string) (to string, err error) {
	name, run := r.PostFormValue("name"), r.PostFormValue("run")
	c, err := h.byHand(r)
	if err != nil {
		return "", err
	}
	switch action {
	case "activate":
		var s *scheduler.Schedule
		if r.PostFormValue("kind") != "" {
			if s, err = scheduleOf(r.PostForm); err != nil {
				return "", err
			}
		}
		_, err = c.Activate(r.Context(), name, s)
		return lead("/job", "name", name, "It is active."), err
	case "deactivate":
		_, err = c.Deactivate(r.Context(), name)
		return lead("/job", "name", name, "It is inactive."), err
	case "run":
		run, err = c.Run(r.Context(), name, nil)
		return lead("/run", "id", run, "It is rung."), err
	case "delete":
		if r.PostFormValue("typed") != name {
			return "", bad("typed", "type the name of the job as it is written", "the name is not the job's")
		}
		return lead("/jobs", "", "", "The job "+name+" is deleted."), c.Delete(r.Context(), name)
	case "restore":
		to, err := strconv.ParseUint(r.PostFormValue("to"), 10, 64)
		if err != nil {
			return "", bad("to", "", "no revision")
		}
		_, err = c.Restore(r.Context(), name, to)
		return lead("/job", "name", name, "It is what it was at revision "+r.PostFormValue("to")+"."), err
	case "cancel":
		was, err := h.jobs.CancelRun(r.Context(), run)
		told := "It is being cancelled."
		if was.Outcome != "" {
			told = "It had ended already: " + was.Outcome + "."
		}
		return lead("/run", "id", run, told), err
	case "again":
		again, err := h.again(r, run)
		return lead("/run", "id", again, "It is rung again."), err
	}
	return h.doLetter(r, action)
}

func (h *Handler) doLetter(r *http.Request, action string) (string, error) {
	id, err := strconv.ParseUint(r.PostFormValue("id"), 10, 64)
	if err != nil {
		return "", bad("id", "", "no id")
	}
	if action == "drop" {
		return lead("/dead", "", "", "The letter is dropped."), h.jobs.DropLetter(r.Context(), id)
	}
	run, err := h.jobs.RedriveLetter(r.Context(), id)
	return lead("/run", "id", run, "It is sent back to work."), err
}

// again rings a run's service once more: its job, or where it had none, the
// service with the payload that it had, as far as that is still in a stream.
func (h *Handler) again(r *http.Request, run string) (string, error) {
	v, err := h.view(r, run)
	if err != nil {
		return "", err
	}
	if len(v.Attempts) == 0 {
		return "", bad("run", "wait for its end", "it has not ended yet")
	}
	last := v.Attempts[len(v.Attempts)-1]
	if last.Job != "" {
		c, err := h.byHand(r)
		if err != nil {
			return "", err
		}
		return c.Run(r.Context(), jobName(last.Job), nil)
	}
	payload, err := workers.Payload(r.Context(), h.js, h.ns, v.Attempts[0])
	if err != nil {
		return "", err
	}
	return workers.NewDispatcher(h.js, h.ns).Ring(r.Context(), workers.Ring{Channel: workers.ChannelManual, Service: last.Service, Payload: payload})
}

// bulkPage asks whether many jobs are meant, with their count, and then says
// what has become of each.
func (h *Handler) bulkPage(w http.ResponseWriter, r *http.Request, p *page) {
	names, action := r.PostForm["name"], r.PostFormValue("what")
	p.Title = "Several jobs"
	if len(names) == 0 {
		h.render(w, r, "wrong", p, bad("name", "tick some on the page of jobs", "no job is selected"))
		return
	}
	d := struct {
		Names   []string
		What    string
		Results []done
		Failed  int
	}{Names: names, What: action}
	if r.PostFormValue("sure") == "yes" {
		var err error
		if d.Results, err = h.each(r, action, names, "ui"); err != nil {
			h.render(w, r, "wrong", p, err)
			return
		}
		for _, one := range d.Results {
			if !one.OK {
				d.Failed++
			}
		}
	}
	p.Data = d
	h.render(w, r, "bulk", p, nil)
}

// save makes a job of a form, or changes one.
func (h *Handler) save(w http.ResponseWriter, r *http.Request, p *page) {
	c, err := h.byHand(r)
	if err != nil {
		h.render(w, r, "wrong", p, err)
		return
	}
	was := r.PostFormValue("was")
	fields, err := fieldsOf(r.PostForm, was != "")
	if err == nil && was != "" {
		_, err = c.Update(r.Context(), was, 0, fields)
	} else if err == nil {
		var raw []byte
		if raw, err = json.Marshal(fields); err == nil {
			var j *scheduler.Job
			if j, err = scheduler.ParseJob(raw); err == nil {
				was = j.Name
				_, err = c.Create(r.Context(), j)
			}
		}
	}
	if err == nil {
		http.Redirect(w, r, p.Base+Pages+lead("/job", "name", was, "It is saved."), http.StatusSeeOther)
		return
	}
	e := explain(err)
	p.Wrong = &problem{http.StatusText(e.Code), e.Code, e.Message, e.Field, e.Hint, e.Revision}
	if p.Title = "New job"; was != "" {
		p.Title = "Edit " + was
	}
	p.Data = formOf(r.PostForm)
	h.render(w, r, "edit", p, nil)
}
