// A program as a new user of the AWS SDK for Go writes one: endpoint, region and keys come from the environment,
// path style is asked for, everything else is the SDK's default. Prints one line of JSON with what it saw.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

const bucket = "sdk-go"

var ctx = context.Background()

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func body(size int) []byte {
	bytes := make([]byte, size)
	for at := range bytes {
		bytes[at] = byte(at*7 + at>>8 + size)
	}
	return bytes
}

func get(client *s3.Client, key string) []byte {
	answer := must(client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)}))
	defer answer.Body.Close()
	return must(io.ReadAll(answer.Body))
}

func code(_ any, err error) string {
	var refusal smithy.APIError
	if errors.As(err, &refusal) {
		return refusal.ErrorCode()
	}
	return "none"
}

func main() {
	client := s3.NewFromConfig(must(config.LoadDefaultConfig(ctx)), func(o *s3.Options) { o.UsePathStyle = true })
	b := aws.String(bucket)
	seen := map[string]any{}
	must(client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: b}))

	same := true
	for _, size := range []int{0, 1, 4097, 1048577} {
		key := "size/" + strings.Repeat("x", size%7)
		must(client.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: &key, Body: bytes.NewReader(body(size))}))
		same = same && bytes.Equal(get(client, key), body(size))
	}
	seen["bodies"] = same

	large := body(20_000_003)
	transfers := transfermanager.New(client)
	must(transfers.UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: b, Key: aws.String("large"), Body: bytes.NewReader(large)}))
	down := must(transfers.GetObject(ctx, &transfermanager.GetObjectInput{Bucket: b, Key: aws.String("large")}))
	seen["large"] = sha256.Sum256(must(io.ReadAll(down.Body))) == sha256.Sum256(large)
	head := must(client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: aws.String("large")}))
	seen["parts"] = strings.HasSuffix(*head.ETag, "-3\"")

	keys := []string{"plain", "a//b", "ünï/日本語 😀", "per%cent%2F", "plus+ and space", "quote'\"<&>", "a/../b"}
	for _, key := range keys {
		must(client.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: &key, Body: strings.NewReader(key)}))
	}
	var listed []string
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: b, MaxKeys: aws.Int32(3)})
	for pages.HasMorePages() {
		for _, object := range must(pages.NextPage(ctx)).Contents {
			listed = append(listed, *object.Key)
		}
	}
	seen["listed"] = []any{len(listed), sort.StringsAreSorted(listed)}
	must(client.CopyObject(ctx, &s3.CopyObjectInput{Bucket: b, Key: aws.String("copy"), CopySource: aws.String(bucket + "/%C3%BCn%C3%AF/%E6%97%A5%E6%9C%AC%E8%AA%9E%20%F0%9F%98%80")}))
	seen["copy"] = string(get(client, "copy")) == keys[2]

	presigner := s3.NewPresignClient(client)
	put := must(presigner.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: &keys[4]}))
	request := must(http.NewRequest(put.Method, put.URL, strings.NewReader("by anyone")))
	request.Header = put.SignedHeader
	seen["presignedPut"] = must(http.DefaultClient.Do(request)).StatusCode
	signed := must(presigner.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: &keys[4]}))
	seen["presignedGet"] = string(must(io.ReadAll(must(http.Get(signed.URL)).Body)))

	seen["refusals"] = []string{
		code(client.PutObject(ctx, &s3.PutObjectInput{Bucket: b, Key: aws.String("copy"), Body: strings.NewReader("2"), IfNoneMatch: aws.String("*")})),
		code(client.GetObject(ctx, &s3.GetObjectInput{Bucket: b, Key: aws.String("nobody")})),
		code(client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: b, Key: aws.String("nobody")})),
		code(client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: b})),
	}
	var objects []types.ObjectIdentifier
	for _, key := range append(listed, "copy") {
		objects = append(objects, types.ObjectIdentifier{Key: aws.String(key)})
	}
	seen["deleted"] = len(must(client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: b, Delete: &types.Delete{Objects: objects}})).Deleted)
	must(client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: b}))
	must(os.Stdout.Write(must(json.Marshal(seen))))
}
