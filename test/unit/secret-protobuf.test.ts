import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import protobuf from "google-protobuf";
import { managedFieldsOf, type ManagedFieldsEntry } from "../../helper/resources/managed-fields.ts";
import type { OwnerReference } from "../../helper/resources/owners.ts";
import { encodeSecret } from "../../helper/resources/secret-protobuf.ts";
import type { Secret } from "../../helper/resources/types.ts";

/** The fields of a message in their order: each has text, bytes or a message. */
function fieldsOf(bytes: Uint8Array): [number, Buffer][] {
  const reader = new protobuf.BinaryReader(bytes);
  const fields: [number, Buffer][] = [];
  while (reader.nextField()) fields.push([reader.getFieldNumber(), Buffer.from(reader.readBytes())]);
  return fields;
}

const valuesOf = (fields: readonly [number, Buffer][], field: number): Buffer[] =>
  fields.filter(([number]) => number === field).map(([, value]) => value);
const lastOf = (fields: readonly [number, Buffer][], field: number): Buffer | undefined =>
  valuesOf(fields, field).at(-1);
const textOf = (fields: readonly [number, Buffer][], field: number): string | undefined =>
  lastOf(fields, field)?.toString();

/** A map field. */
const mapOf = (fields: readonly [number, Buffer][], field: number, encoding?: "base64"): Record<string, string> =>
  Object.fromEntries(
    valuesOf(fields, field)
      .map(fieldsOf)
      .map((entry) => [textOf(entry, 1), lastOf(entry, 2)?.toString(encoding)]),
  ) as Record<string, string>;

interface Decoded {
  secret: Secret;
  owners: object[];
  managedFields: object[];
  resourceVersion: string | undefined;
}

/** An entry of the managed fields, whose fields are JSON in a message of their own. */
const managedEntry = (entry: readonly [number, Buffer][]): object => ({
  manager: textOf(entry, 1),
  operation: textOf(entry, 2),
  apiVersion: textOf(entry, 3),
  fieldsType: textOf(entry, 6),
  fieldsV1: JSON.parse(textOf(fieldsOf(lastOf(entry, 7) ?? assert.fail()), 1) ?? "") as object,
});

/** What a decoder reads: of a message that occurs several times it merges the fields. */
function decode(body: Buffer): Decoded {
  assert.equal(body.toString("latin1", 0, 4), "k8s\0");
  const unknown = fieldsOf(body.subarray(4));
  const [typeMeta, raw] = [1, 2].map((field) => fieldsOf(lastOf(unknown, field) ?? Buffer.alloc(0)));
  assert.ok(typeMeta && raw);
  const metadata = valuesOf(raw, 1).flatMap(fieldsOf);
  const owners = valuesOf(metadata, 13)
    .map(fieldsOf)
    .map((one) => ({ apiVersion: textOf(one, 5), kind: textOf(one, 1), name: textOf(one, 3), uid: textOf(one, 4) }));
  const secret = {
    apiVersion: textOf(typeMeta, 1),
    kind: textOf(typeMeta, 2),
    metadata: { name: textOf(metadata, 1), labels: mapOf(metadata, 11), annotations: mapOf(metadata, 12) },
    data: mapOf(raw, 2, "base64"),
    type: textOf(raw, 3),
  } as Secret;
  const managedFields = valuesOf(metadata, 17).map(fieldsOf).map(managedEntry);
  return { secret, owners, managedFields, resourceVersion: textOf(metadata, 6) };
}

const text = fc.string({ unit: "binary", maxLength: 300 });
const bytes = fc.uint8Array({ maxLength: 20_000 }).map((value) => Buffer.from(value).toString("base64"));
const plain = { noNullPrototype: true };
const record = fc.dictionary(text, text, plain);
const anySecret: fc.Arbitrary<Secret> = fc.record(
  {
    apiVersion: fc.constant("v1"),
    kind: fc.constant("Secret"),
    metadata: fc.record({ name: text, labels: record, annotations: record }, plain),
    type: text,
    data: fc.dictionary(text, bytes, plain),
  },
  plain,
);
const anyOwner: fc.Arbitrary<OwnerReference> = fc.record(
  { apiVersion: text, kind: text, name: text, uid: text },
  plain,
);

describe("a secret that is encoded as protobuf", () => {
  it("is what it was when it is decoded, with its owners, managed fields and any resourceVersion", () => {
    fc.assert(
      fc.property(
        anySecret,
        fc.array(anyOwner),
        fc.array(fc.option(text, { nil: undefined })),
        (secret, owners, all) => {
          const managedFields: ManagedFieldsEntry[] = [managedFieldsOf(secret, owners)];
          const complete = encodeSecret(secret, owners, managedFields);
          for (const resourceVersion of all) {
            assert.deepEqual(decode(complete(resourceVersion)), { secret, owners, managedFields, resourceVersion });
          }
        },
      ),
    );
  });

  it("may have no labels and no annotations", () => {
    const secret: Secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "one" }, type: "Opaque", data: {} };
    const metadata = { name: "one", labels: {}, annotations: {} };
    assert.deepEqual(decode(encodeSecret(secret, [])("7")).secret, { ...secret, metadata });
  });

  it("begins with Kubernetes' magic and the type, and ends with the resourceVersion", () => {
    const secret: Secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "one" }, type: "Opaque", data: {} };
    assert.equal(
      encodeSecret(secret, [])("7").toString("latin1"),
      "k8s\0\n\x0c\n\x02v1\x12\x06Secret\x12\x14\n\x05\n\x03one\x1a\x06Opaque\n\x03\x32\x017",
    );
  });
});
