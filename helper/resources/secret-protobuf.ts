// The protobuf encoding of a secret, which the API server decodes faster than JSON. Field numbers are those of generated.proto in
// k8s.io/api/core/v1, k8s.io/apimachinery/pkg/apis/meta/v1 and k8s.io/apimachinery/pkg/runtime; they never change.
// https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
import type { ManagedFieldsEntry } from "./managed-fields.ts";
import type { OwnerReference } from "./owners.ts";
import type { Secret } from "./types.ts";

/** The content type of an encoded object. */
export const protobufType = "application/vnd.kubernetes.protobuf";

/** The first bytes of every encoded object. */
const magic = Buffer.from("k8s\0");

/** A number in 7 bits a byte, the lowest first: https://protobuf.dev/programming-guides/encoding/#varints */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (; value > 0x7f; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return Buffer.from([...bytes, value]);
}

/** The tag of a field with text, bytes or a message, and the length of that. */
const head = (field: number, length: number): Buffer => Buffer.concat([varint((field << 3) | 2), varint(length)]);

function encodeField(field: number, value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([head(field, bytes.length), bytes]);
}

/** A message of these fields. */
const message = (...fields: readonly (readonly [field: number, value: string | Buffer])[]): Buffer =>
  Buffer.concat(fields.map(([field, value]) => encodeField(field, value)));

/** A map: one message of key and value for each entry. */
const entries = (
  field: number,
  record: Readonly<Record<string, string>> = {},
  encoding?: "base64",
): [number, Buffer][] =>
  Object.entries(record).map(([key, value]) => [field, message([1, key], [2, Buffer.from(value, encoding)])]);

/** An OwnerReference. */
const encodeOwner = ({ apiVersion, kind, name, uid }: OwnerReference): Buffer =>
  message([1, kind], [3, name], [4, uid], [5, apiVersion]);

/** A ManagedFieldsEntry, with its FieldsV1 as JSON. */
const encodeEntry = ({ manager, operation, apiVersion, fieldsType, fieldsV1 }: ManagedFieldsEntry): Buffer =>
  message([1, manager], [2, operation], [3, apiVersion], [6, fieldsType], [7, message([1, JSON.stringify(fieldsV1)])]);

/**
 * Encodes a secret with these owners and managed fields once for all namespaces. The result completes it for one of them, at a
 * resourceVersion: that is the ObjectMeta's only field in a second occurrence of `metadata`, and a decoder merges the two.
 * https://protobuf.dev/programming-guides/encoding/#last-one-wins
 */
export function encodeSecret(
  { apiVersion, kind, metadata, data, type }: Secret,
  owners: readonly OwnerReference[],
  managedFields: readonly ManagedFieldsEntry[] = [],
): (resourceVersion?: string | number) => Buffer {
  const { name, labels, annotations } = metadata;
  const objectMeta = message(
    [1, name],
    ...entries(11, labels),
    ...entries(12, annotations),
    ...owners.map((owner): [number, Buffer] => [13, encodeOwner(owner)]),
    ...managedFields.map((entry): [number, Buffer] => [17, encodeEntry(entry)]),
  );
  const secret = message([1, objectMeta], ...entries(2, data, "base64"), [3, type]);
  const start = Buffer.concat([magic, encodeField(1, message([1, apiVersion], [2, kind]))]);
  return (resourceVersion) => {
    const version =
      resourceVersion === undefined ? Buffer.alloc(0) : message([1, message([6, String(resourceVersion)])]);
    return Buffer.concat([start, head(2, secret.length + version.length), secret, version]);
  };
}
