// An admission webhook that holds writes back inside the API server, as an overloaded one of somebody else does.
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import type { Kube } from "../../helper/kube/types.ts";
import { makeCertificate } from "../support/certificate.ts";

/** The webhook; a test has to call `close`. */
export interface SlowAdmission {
  /** Holds every secret that is written from now on; the returned function ends that for later ones only. */
  readonly hold: () => () => void;
  /** Resolves when it holds so many. */
  readonly holds: (count: number) => Promise<void>;
  /** Admits all that it holds. */
  readonly release: () => void;
  readonly close: () => void;
}

/** Registers one for the secrets in these namespaces. */
export async function startSlowAdmission(admin: Kube, namespaces: readonly string[]): Promise<SlowAdmission> {
  const certificate = await makeCertificate("127.0.0.1");
  let isHolding = false;
  const held: (() => void)[] = [];
  const waiting = new Set<() => void>();
  const server = createServer(certificate, (request, response) => {
    void json(request).then((review) => {
      const {
        apiVersion,
        kind,
        request: asked,
      } = review as { apiVersion: string; kind: string; request: { uid: string } };
      const admit = (): void =>
        void response.end(JSON.stringify({ apiVersion, kind, response: { uid: asked.uid, allowed: true } }));
      response.setHeader("content-type", "application/json");
      if (!isHolding) return void admit();
      held.push(admit);
      for (const wake of waiting) wake();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await register(admin, namespaces, {
    url: `https://127.0.0.1:${String(port)}/`,
    caBundle: Buffer.from(certificate.cert).toString("base64"),
  });
  return {
    hold: () => {
      isHolding = true;
      return () => (isHolding = false);
    },
    holds: async (count) => {
      while (held.length < count) await new Promise<void>((resolve) => waiting.add(resolve));
      waiting.clear();
    },
    release: () => held.splice(0).forEach((admit) => admit()),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function register(admin: Kube, namespaces: readonly string[], clientConfig: object): Promise<void> {
  const names = { key: "kubernetes.io/metadata.name", operator: "In", values: namespaces };
  const webhook = {
    name: "slow.ecr-helper.test",
    clientConfig,
    rules: [{ apiGroups: [""], apiVersions: ["v1"], resources: ["secrets"], operations: ["CREATE", "UPDATE"] }],
    namespaceSelector: { matchExpressions: [names] },
    failurePolicy: "Ignore",
    timeoutSeconds: 30,
    sideEffects: "None",
    admissionReviewVersions: ["v1"],
  };
  await admin({
    method: "POST",
    path: "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
    body: { metadata: { name: `slow-${namespaces[0] ?? ""}` }, webhooks: [webhook] },
  });
}
