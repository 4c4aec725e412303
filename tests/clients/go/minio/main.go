// A program as a user of MinIO has one: minio-go with keys and endpoint, everything else its default.
// Prints one line of JSON with what it saw.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/tags"
)

const bucket = "minio-go"

var ctx = context.Background()

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func body(size int) []byte {
	bytes := make([]byte, size)
	for at := range bytes {
		bytes[at] = byte(at*5 + at>>9 + size)
	}
	return bytes
}

func get(client *minio.Client, key string) []byte {
	object := must(client.GetObject(ctx, bucket, key, minio.GetObjectOptions{}))
	defer object.Close()
	return must(io.ReadAll(object))
}

// Temporary credentials as MinIO's own tools ask for them: no role, the user's own rights under a policy.
func assumed(endpoint *url.URL) []any {
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + bucket + `/*"}]}`
	creds := must(credentials.NewSTSAssumeRole(endpoint.String(), credentials.STSAssumeRoleOptions{
		AccessKey: os.Getenv("AWS_ACCESS_KEY_ID"), SecretKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), Policy: policy,
	}))
	client := must(minio.New(endpoint.Host, &minio.Options{Creds: creds}))
	_, err := client.PutObject(ctx, bucket, "assumed", strings.NewReader("x"), 1, minio.PutObjectOptions{})
	return []any{len(get(client, "size")), minio.ToErrorResponse(err).Code}
}

func main() {
	endpoint := must(url.Parse(os.Getenv("AWS_ENDPOINT_URL")))
	client := must(minio.New(endpoint.Host, &minio.Options{Creds: credentials.NewEnvAWS()}))
	seen := map[string]any{}
	check(client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}))

	same := true
	for _, size := range []int{0, 1, 4097, 1048577} {
		must(client.PutObject(ctx, bucket, "size", bytes.NewReader(body(size)), int64(size), minio.PutObjectOptions{ContentType: "a/b", UserMetadata: map[string]string{"who": "me"}}))
		same = same && bytes.Equal(get(client, "size"), body(size))
	}
	stat := must(client.StatObject(ctx, bucket, "size", minio.StatObjectOptions{}))
	seen["bodies"] = []any{same, stat.ContentType, stat.UserMetadata["Who"]}

	seen["assumed"] = assumed(endpoint)

	large := body(34_000_001)
	parts := must(client.PutObject(ctx, bucket, "large", bytes.NewReader(large), int64(len(large)), minio.PutObjectOptions{}))
	seen["large"] = []any{bytes.Equal(get(client, "large"), large), strings.HasSuffix(parts.ETag, "-3")}
	must(client.PutObject(ctx, bucket, "stream", bytes.NewReader(large), -1, minio.PutObjectOptions{PartSize: 10 << 20}))
	seen["stream"] = bytes.Equal(get(client, "stream"), large)
	must(client.ComposeObject(ctx, minio.CopyDestOptions{Bucket: bucket, Object: "composed"},
		minio.CopySrcOptions{Bucket: bucket, Object: "large"}, minio.CopySrcOptions{Bucket: bucket, Object: "size"}))
	seen["composed"] = bytes.Equal(get(client, "composed"), append(append([]byte{}, large...), body(1048577)...))

	keys := []string{"plain", "ünï/日本語 😀", "per%cent%2F", "plus+ and space", "quote'\"<&>"}
	for _, key := range keys {
		must(client.PutObject(ctx, bucket, key, strings.NewReader(key), int64(len(key)), minio.PutObjectOptions{}))
	}
	listed := 0
	for object := range client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Recursive: true, MaxKeys: 3}) {
		check(object.Err)
		listed++
	}
	seen["listed"] = listed
	must(client.CopyObject(ctx, minio.CopyDestOptions{Bucket: bucket, Object: "copy+ü"}, minio.CopySrcOptions{Bucket: bucket, Object: keys[1]}))
	seen["copy"] = string(get(client, "copy+ü")) == keys[1]
	put := must(client.PresignedPutObject(ctx, bucket, keys[3], time.Minute))
	request := must(http.NewRequest("PUT", put.String(), strings.NewReader("by anyone")))
	seen["presignedPut"] = must(http.DefaultClient.Do(request)).StatusCode
	signed := must(client.PresignedGetObject(ctx, bucket, keys[3], time.Minute, url.Values{"response-content-type": {"text/x-test"}}))
	answer := must(http.Get(signed.String()))
	seen["presignedGet"] = []any{answer.Header.Get("content-type"), string(must(io.ReadAll(answer.Body)))}

	check(client.PutObjectTagging(ctx, bucket, "plain", must(tags.NewTags(map[string]string{"team": "blue += x"}, true)), minio.PutObjectTaggingOptions{}))
	seen["tags"] = must(client.GetObjectTagging(ctx, bucket, "plain", minio.GetObjectTaggingOptions{})).ToMap()

	check(client.EnableVersioning(ctx, bucket))
	must(client.PutObject(ctx, bucket, "plain", strings.NewReader("2"), 1, minio.PutObjectOptions{}))
	check(client.RemoveObject(ctx, bucket, "plain", minio.RemoveObjectOptions{}))
	versions := []string{}
	for object := range client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: "plain", WithVersions: true}) {
		check(object.Err)
		name := "version"
		if object.IsDeleteMarker {
			name = "marker"
		}
		versions = append(versions, name)
		check(client.RemoveObject(ctx, bucket, "plain", minio.RemoveObjectOptions{VersionID: object.VersionID}))
	}
	seen["versions"] = versions

	refusal := minio.ToErrorResponse(client.RemoveBucket(ctx, bucket))
	seen["refusal"] = refusal.Code
	left := client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true})
	for failure := range client.RemoveObjects(ctx, bucket, left, minio.RemoveObjectsOptions{}) {
		check(failure.Err)
	}
	check(client.RemoveBucket(ctx, bucket))
	must(os.Stdout.Write(must(json.Marshal(seen))))
}
