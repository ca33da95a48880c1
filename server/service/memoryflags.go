package service

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// storeFlags declares the flags of where agents' memories are kept, and who else uses them there.
func (o *options) storeFlags(f *flag.FlagSet) {
	f.StringVar(&o.engine.Dir, "agents-dir", "",
		"`directory` for agents' memories, which then survive restarts; "+
			"for one server, unless -agents-shared, and one model. Empty: none")
	f.BoolVar(&o.engine.Shared, "agents-shared", false,
		"share -agents-dir with other servers of the same model, on this machine or on others that "+
			"mount it: an agent's memory then moves to the server that gets its next request")
	f.StringVar(&o.store, "agents-store", "",
		"`address` of an object store in place of -agents-dir, which all servers of the model may "+
			"share: s3://BUCKET/PREFIX, with the credentials and the endpoint in AWS_ACCESS_KEY_ID, "+
			"AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL and AWS_REGION, or nats://HOST:4222/BUCKET "+
			"('loadstone store' starts one). Default: "+storeVariable)
	f.StringVar(&o.storeAccess.CA, "agents-store-ca", "",
		"`file` with the certificate of the authority of -agents-store")
	f.StringVar(&o.storeAccess.Creds, "agents-store-creds", "",
		"`file` of NATS credentials for -agents-store (nsc makes it)")
	f.BoolVar(&o.storeAccess.Plain, "agents-store-plain", false,
		"let memories go to an -agents-store on another machine without TLS; only on a network "+
			"that is yours")
	f.DurationVar(&o.engine.Lease, "agents-lease", 15*time.Second,
		"how long a server that hangs keeps the memories that it has not saved from the others of "+
			"-agents-shared; one that has ended, however it ended, keeps none. With -agents-store it "+
			"is how long those of any server are kept that has ended without giving them away")
	f.StringVar(&o.sealKeyFile, "seal-key-file", "",
		"`file` with the key that seals memories and responses on disk (AES-256-GCM): 64 hexadecimal "+
			"digits, as 'openssl rand -hex 32' prints them. Keys on further lines open what an "+
			"older key has sealed")
}

// storeVariable is the environment variable that the address of an object store is taken from: one
// with a password in it is seen by all where it is an argument.
const storeVariable = "LOADSTONE_AGENTS_STORE"

// checkStore takes the address of an object store from the environment where the command line says
// nothing.
func (o *options) checkStore() error {
	switch {
	case o.store != "" && o.engine.Dir != "":
		return errors.New("-agents-dir and -agents-store: memories are in one of them")
	case o.store == "" && o.engine.Dir == "":
		o.store = os.Getenv(storeVariable)
	}
	switch {
	case o.store == "" && o.storeAccess != StoreAccess{}:
		return errors.New("-agents-store-ca, -agents-store-creds and -agents-store-plain are for an " +
			"object store: want -agents-store")
	case o.store != "" && o.engine.Shared:
		return errors.New("-agents-shared is for -agents-dir; an -agents-store is always shared")
	case o.engine.Shared && o.engine.Dir == "":
		return errors.New("-agents-shared has nothing to share without -agents-dir")
	case strings.Contains(o.engine.Dir, "://"):
		return fmt.Errorf("-agents-dir is a directory; want -agents-store %s", o.engine.Dir)
	case o.sealKeyFile != "" && o.engine.Dir == "" && o.store == "":
		return errors.New("-seal-key-file has nothing to seal without -agents-dir or -agents-store")
	}
	return atLeast("agents-lease", o.engine.Lease, time.Second)
}

// keepFlags declares the flags of how soon memories are on disk, and of how long they, and
// responses, are kept.
func (o *options) keepFlags(f *flag.FlagSet) {
	o.engine.DiskBytes = 16 << 30
	f.Var((*byteSize)(&o.engine.DiskBytes), "agents-disk",
		"`size` that agents' memories may take on disk, or in -agents-store; "+
			"those unused for the longest time are deleted first")
	f.DurationVar(&o.engine.TTL, "agents-ttl", 0,
		"time after which an unused memory is deleted; 0 is never")
	f.DurationVar(&o.engine.SaveWithin, "save-within", 10*time.Second,
		"age that an agent's turn may have before its memory is on disk, while the disk keeps up; "+
			"0: memories are saved when they have rested a second, and an agent that never rests "+
			"is not saved")
	f.DurationVar(&o.durableWait, "durable-wait", 10*time.Second,
		"how long the end of an answer may wait for the disk if its request, or its agent, is durable")
	f.IntVar(&o.responses.Responses, "responses", 0,
		"stored responses of the Responses API that each API key's owner may have, where there are "+
			"keys; beyond it the oldest are deleted. 0 is no limit")
	f.Var((*byteSize)(&o.responses.Bytes), "responses-bytes",
		"`size` that the stored responses of each owner may take; by default they may all take "+
			"1GiB together in -agents-dir, or 64MiB in RAM")
}

func (o *options) checkKeep() error {
	if o.durableWait <= 0 {
		return fmt.Errorf("-durable-wait is %v; want more than 0", o.durableWait)
	}
	return cmp.Or(
		atLeast("agents-ttl", o.engine.TTL, 0),
		atLeast("save-within", o.engine.SaveWithin, 0),
		atLeast("responses", o.responses.Responses, 0),
	)
}
