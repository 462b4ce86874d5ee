package wasi

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

func TestModule(t *testing.T) {
	program := filepath.Join(t.TempDir(), "tokenpin.wasm")
	build := exec.Command("go", "test", "-c", "-o", program, ".")
	build.Dir, build.Env = "..", append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	code, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	runtime := wazero.NewRuntime(ctx)
	defer runtime.Close(ctx)
	wasi_snapshot_preview1.MustInstantiate(ctx, runtime)
	var output bytes.Buffer
	// The checkout is the program's file system, and examples write their output to a temporary
	// file.
	config := wazero.NewModuleConfig().
		WithArgs("tokenpin.test", "-test.v").
		WithEnv("PWD", "/go").
		WithFSConfig(wazero.NewFSConfig().WithReadOnlyDirMount("../..", "/").WithDirMount(t.TempDir(), "/tmp")).
		WithStdout(&output).WithStderr(&output).
		WithRandSource(rand.Reader).WithSysWalltime().WithSysNanotime().WithSysNanosleep()
	if _, err := runtime.InstantiateWithConfig(ctx, code, config); err != nil {
		t.Fatalf("%v\n%s", err, &output)
	}
	for _, name := range []string{"TestSelectionVectors", "TestCookieVectors", "TestDecisionVectors", "TestJumpVectors"} {
		if !strings.Contains(output.String(), "--- PASS: "+name+" ") {
			t.Errorf("%s did not pass:\n%s", name, &output)
		}
	}
}
