package command

import (
	"context"
	"errors"
	"fmt"

	"loadstone/internal/broker"
)

const storeAbout = `Starts an object store in which several servers share agents' memories (loadstone serve
-agents-store): a NATS server with JetStream, on one machine and in one directory. It listens on
loopback; with -config, a file in NATS's own form, it has users or TLS and may listen elsewhere. It
runs until it is ended. Each write is on disk when it is answered, unless the configuration has a
sync_interval.

It is for those who have no object store. One that must outlive a machine is a NATS cluster, with
replicas (nats://HOST:4222/BUCKET?replicas=3), or a store of the S3 API (s3://BUCKET/PREFIX).`

const storeExamples = `  loadstone store -dir memories
  loadstone serve -agents-store nats://127.0.0.1:4222/agents
  loadstone serve -addr 127.0.0.1:8081 -agents-store nats://127.0.0.1:4222/agents
  loadstone store -dir memories -config nats.conf
  loadstone serve -agents-store tls://me@host-a:4222/agents -agents-store-ca ca.pem    elsewhere

Exit codes: 0 ended by a signal, 1 it cannot listen or cannot use the directory, 2 wrong command
line.
`

func storeCommand(ctx context.Context, e *env, args []string) error {
	f := flags("store", storeAbout, storeExamples, e.stdout)
	dir := f.String("dir", "loadstone-store", "`directory` of the objects")
	listen := f.String("listen", "",
		"`address` of the server; default: 127.0.0.1:4222, or what -config says")
	config := f.String("config", "",
		"`file` with the configuration of the NATS server, in its own form")
	if err := f.parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return usageError("unexpected argument %q; loadstone store -h lists the flags", f.Arg(0))
	}
	if *listen == "" && *config == "" {
		*listen = "127.0.0.1:4222"
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	s, err := broker.ServeStore(*listen, *config, *dir)
	if _, ok := errors.AsType[*broker.OpenError](err); ok {
		return usageError("-listen %w: -config", err)
	}
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Fprintf(e.stdout, "the object store is listening on %s; its directory is %s\n", s.URL, *dir)
	<-ctx.Done()
	return nil
}
