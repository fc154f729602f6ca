package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestLogin has a browser show a token to bellhop up, look around as a viewer,
// who changes nothing, and sign out.
func TestLogin(t *testing.T) {
	t.Parallel()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("no chromium to look with: install it (apt-get install chromium)")
	}
	command := exec.CommandContext(t.Context(), binary, "token", "new", "ann", "--scope", "viewer")
	command.Env = environment(t)
	var said strings.Builder
	command.Stderr = &said
	line, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.TrimSpace(said.String()[strings.Index(said.String(), "bellhop_"):])
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, line, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, environment(t, "BELLHOP_HTTP_TOKENS="+tokens), "up", "--demo")
	page := p.await(t, `HTTP +(http\S+) with`)[1]

	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.WSURLReadTimeout(3*time.Minute), // it may be its first start ever, on a busy machine
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-quic", true))
	ctx, cancel := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 8*time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx); err != nil { // it starts with the context of its first use, and ends with it
		t.Fatal(err)
	}
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		within, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		if err := chromedp.Do(within, steps...); err != nil {
			there, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`location + "\n" + document.body.innerText`))
			t.Fatalf("%v\n%s", err, there)
		}
	}
	see := func(selector, text string) {
		t.Helper()
		got, err := chromedp.Run(ctx, chromedp.TextContent(chromedp.CSS(selector)))
		if err != nil || !strings.Contains(got, text) {
			t.Fatalf("%s is %q, %v", selector, got, err)
		}
	}
	answer := func(token string) {
		t.Helper()
		do(chromedp.SendKeys(chromedp.CSS("input[name=token]"), token), chromedp.Click(chromedp.CSS("form button")))
	}
	do(chromedp.Navigate(page + "/"))
	answer("bellhop_nonsense")
	do(chromedp.WaitVisible(chromedp.CSS("[role=alert]")))
	answer(secret)
	do(chromedp.WaitVisible(chromedp.CSS("#active")))
	see("h1", "Overview")
	see("header form", "Sign out ann")
	do(chromedp.Navigate(page+"/ui/job?name=My+Sample"), chromedp.WaitVisible(chromedp.CSS("#words")))
	see("#words", "every 2 seconds")
	if got, err := chromedp.Run(ctx, chromedp.Evaluate[float64](`document.querySelectorAll("form[method=post] button[name=action]").length`)); err != nil || got != 0 {
		t.Errorf("a viewer is offered %v changes, %v", got, err)
	}
	status, err := chromedp.Run(ctx, chromedp.Evaluate[float64](
		`fetch("do", {method: "POST", body: new URLSearchParams({action: "run", name: "My Sample"})}).then((r) => r.status)`, chromedp.EvalAwaitPromise))
	if err != nil || status != 403 {
		t.Errorf("a viewer's change: %v, %v", status, err)
	}
	do(chromedp.Click(chromedp.CSS("header form button")))
	do(chromedp.WaitVisible(chromedp.CSS("input[name=token]")))
}
