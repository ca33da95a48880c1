package buckets

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"loadstone/internal/objects"
	"loadstone/internal/peer"
)

// An S3Config says where a bucket of the S3 API is.
type S3Config struct {
	Endpoint string // URL of the store; "": Amazon's
	Region   string // "": the bucket's own at Amazon, elsewhere us-east-1
	Bucket   string
	Prefix   string // of the names of all objects, without a slash at its end; "": none
	CA       string // file with the certificate of the store's authority; "": the system's
	Plain    bool   // a store on another machine need not have TLS
}

// S3 is a bucket of the S3 API. Its methods may be called from many goroutines at once.
type S3 struct {
	core      *minio.Core
	transport *transport
	bucket    string
	prefix    string // ends with a slash, unless it is ""
	deletes   bool   // the store has DELETE under a condition

	tombstones sync.Map // versions of tombstones that were seen
}

// markKey is the key of the metadata that tells one write from all others.
const markKey = "Loadstone-Write"

// tombstone is what stands in an object's place after a deletion under a condition, where the store
// cannot delete under one.
const tombstone = "Loadstone has deleted this; leave it be.\n"

// OpenS3 opens a bucket, which must exist, and tries whether its store keeps the contract. The
// credentials are in the environment, in a file of profiles, or those of the machine's or the pod's
// role, in that order.
func OpenS3(ctx context.Context, c S3Config) (*S3, error) {
	host, secure, err := endpoint(c.Endpoint, c.Plain)
	if err != nil {
		return nil, err
	}
	next, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, err
	}
	if c.CA != "" && secure {
		text, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, err
		}
		if next.TLSClientConfig.RootCAs, err = peer.Roots(text); err != nil {
			return nil, fmt.Errorf("%s: %w", c.CA, err)
		}
	}
	s := &S3{transport: &transport{next}, bucket: c.Bucket}
	if c.Prefix != "" {
		s.prefix = c.Prefix + "/"
	}
	creds, err := s3Credentials(ctx, host)
	if err != nil {
		return nil, err
	}
	region := c.Region
	if region == "" && c.Endpoint != "" {
		region = "us-east-1"
	}
	s.core, err = minio.NewCore(host, &minio.Options{Creds: creds, Secure: secure, Region: region,
		Transport: s.transport, MaxRetries: tries})
	if err != nil {
		return nil, &AddressError{err.Error()}
	}
	if err := s.probe(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// tries is how often a request is sent to which no answer comes, or one that says to come again.
const tries = 3

// s3Credentials finds the credentials for a store where Amazon's programs find them.
func s3Credentials(ctx context.Context, host string) (*credentials.Credentials, error) {
	from := []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}}
	if os.Getenv("AWS_EC2_METADATA_DISABLED") != "true" {
		from = append(from, &credentials.IAM{Client: &http.Client{Timeout: 10 * time.Second}})
	}
	creds := credentials.NewChainCredentials(from)
	v, err := creds.GetWithContext(&credentials.CredContext{Context: ctx, Client: http.DefaultClient})
	if err != nil || v.AccessKeyID == "" {
		return nil, fmt.Errorf("no credentials for the object store %s: want AWS_ACCESS_KEY_ID and "+
			"AWS_SECRET_ACCESS_KEY in the environment, a profile in ~/.aws/credentials, or a role of this "+
			"machine", host)
	}
	return creds, nil
}

// Close ends the connections that nobody uses.
func (s *S3) Close() error { s.transport.CloseIdleConnections(); return nil }

// gets is how often the body of an object is asked for; minio-go asks again only until the body
// begins.
const gets = 3

// Get returns an object's bytes and version.
func (s *S3) Get(ctx context.Context, name string) (data []byte, version string, err error) {
	if err := checkName(name); err != nil {
		return nil, "", err
	}
	for range gets {
		var body io.ReadCloser
		var info minio.ObjectInfo
		body, info, _, err = s.core.GetObject(ctx, s.bucket, s.prefix+name, minio.GetObjectOptions{})
		switch {
		case missing(err):
			return nil, "", none(name)
		case err != nil:
			return nil, "", s.failed("get", name, err)
		}
		data, err = io.ReadAll(body)
		body.Close()
		switch {
		case err == nil && string(data) == tombstone:
			s.tombstones.Store(info.ETag, true)
			return nil, "", none(name)
		case err == nil:
			return data, info.ETag, nil
		case ctx.Err() != nil:
			return nil, "", s.failed("get", name, ctx.Err())
		}
	}
	return nil, "", s.failed("get", name, err)
}

// Put writes an object under a condition.
func (s *S3) Put(ctx context.Context, name string, data []byte, was string) (string, error) {
	if err := cmp.Or(checkName(name), checkSize(name, data)); err != nil {
		return "", err
	}
	return s.put(ctx, name, data, was)
}

// puts is how often a write is tried that the store refuses for another reason than its condition.
const puts = 8

func (s *S3) put(ctx context.Context, name string, data []byte, was string) (string, error) {
	sum := sha256.Sum256(data)
	mark := rand.Text()
	over := was // a tombstone's version, where there must be no object and it stands in its place
	for try := range puts {
		o := minio.PutObjectOptions{
			UserMetadata:         map[string]string{markKey: mark},
			DisableContentSha256: true, // of a stream's parts; the whole has one
		}
		switch over {
		case objects.Any:
		case objects.None:
			o.SetMatchETagExcept("*")
		default:
			o.SetMatchETag(over)
		}
		info, err := s.core.PutObject(ctx, s.bucket, s.prefix+name, bytes.NewReader(data),
			int64(len(data)), "", hex.EncodeToString(sum[:]), o)
		if err == nil {
			return info.ETag, nil
		}
		if ctx.Err() != nil {
			return "", s.failed("put", name, ctx.Err())
		}
		there, lost := s.stat(ctx, name)
		switch {
		case lost != nil && !missing(lost):
			return "", s.failed("put", name, err)
		case lost == nil && there.UserMetadata[markKey] == mark:
			return there.ETag, nil // it was written, and the answer was lost
		case status(err) == http.StatusConflict: // somebody writes it just now: it is to be sent again
			if err := pause(ctx, time.Duration(try+1)*20*time.Millisecond); err != nil {
				return "", s.failed("put", name, err)
			}
		case !refused(err):
			return "", s.failed("put", name, err)
		case was != objects.None:
			return "", changed(name)
		case missing(lost):
			over = objects.None // what was there is gone
		default:
			buried, err := s.buried(ctx, name, there.Size, there.ETag)
			if err != nil {
				return "", s.failed("put", name, err)
			}
			if !buried {
				return "", changed(name)
			}
			over = there.ETag
		}
	}
	return "", changed(name) // others were faster each time
}

// buried tells whether an object of some size and version is a tombstone, or gone. It reads one
// that may be: most stores give all tombstones one version.
func (s *S3) buried(ctx context.Context, name string, size int64, version string) (bool, error) {
	if size != int64(len(tombstone)) {
		return false, nil
	}
	if _, known := s.tombstones.Load(version); known {
		return true, nil
	}
	_, _, err := s.Get(ctx, name)
	if missing(err) {
		return true, nil
	}
	return false, err
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// Delete removes an object under a condition.
func (s *S3) Delete(ctx context.Context, name, was string) error {
	if err := checkName(name); err != nil {
		return err
	}
	switch {
	case was == objects.Any:
		if err := s.remove(ctx, name); !missing(err) {
			return s.failed("delete", name, err)
		}
		return nil
	case was == objects.None:
		_, _, err := s.Get(ctx, name)
		if err == nil {
			return changed(name)
		}
		if !missing(err) {
			return err
		}
		return nil
	}
	// Which of several deletions is the one that is done, DELETE does not tell: some stores answer
	// that it is done where nothing is.
	version, err := s.put(ctx, name, []byte(tombstone), was)
	if err == nil && s.deletes {
		// Where this fails, the tombstone stays.
		s.remove(context.WithValue(ctx, conditionKey{}, version), name)
	}
	return err
}

// remove sends a DELETE, under the condition that ctx has.
func (s *S3) remove(ctx context.Context, name string) error {
	return s.core.RemoveObject(ctx, s.bucket, s.prefix+name, minio.RemoveObjectOptions{})
}

// List calls f for each object whose name begins with prefix, in the order of the names.
func (s *S3) List(ctx context.Context, prefix string, f func(objects.Object) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	before := ""
	o := minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}
	for info := range s.core.ListObjectsIter(ctx, s.bucket, o) {
		if info.Err != nil {
			return s.failed("list", prefix, info.Err)
		}
		name := strings.TrimPrefix(info.Key, s.prefix)
		if name < before {
			return s.failed("list", prefix, fmt.Errorf("%q comes after %q: the order is not that of names",
				name, before))
		}
		before = name
		if strings.HasPrefix(name, probes) || checkName(name) != nil {
			continue // a folder's own object, as some programs make it
		}
		version := strings.Trim(info.ETag, `"`)
		buried, err := s.buried(ctx, name, info.Size, version)
		if err != nil {
			return s.failed("list", prefix, err)
		}
		if buried {
			continue
		}
		o := objects.Object{Name: name, Size: info.Size, Modified: info.LastModified, Version: version}
		if err := f(o); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return s.failed("list", prefix, err)
	}
	return nil
}

func (s *S3) stat(ctx context.Context, name string) (minio.ObjectInfo, error) {
	return s.core.StatObject(ctx, s.bucket, s.prefix+name, minio.StatObjectOptions{})
}

// failed puts an error into the words of a user who knows the store.
func (s *S3) failed(what, name string, err error) error {
	if err == nil {
		return nil
	}
	host := s.core.EndpointURL().Host
	var r minio.ErrorResponse
	switch errors.As(err, &r); r.Code {
	case "NoSuchBucket":
		return fmt.Errorf("the object store %s has no bucket %q: make it first", host, s.bucket)
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return fmt.Errorf("the object store %s refuses these credentials for bucket %q "+
			"(%s of %s%s): %w; they must allow to list, get, put and delete", host, s.bucket, what,
			s.prefix, name, err)
	}
	return fmt.Errorf("the object store %s, bucket %q: %s of %s%s: %w",
		host, s.bucket, what, s.prefix, name, err)
}
