// aws:iam/openIdConnectProvider:OpenIdConnectProvider and the function that looks one up. Rules: terraform-provider-aws
// internal/service/iam/openid_connect_provider.go and openid_connect_provider_data_source.go.
import * as iam from "@aws-sdk/client-iam";
import { InvalidArgumentsError } from "../plugin.ts";
import { resourceType } from "../declared-type.ts";
import { type Change, type Observed } from "../resource-type.ts";
import type { Properties } from "../values.ts";
import { withContext, undefinedIfGone } from "./errors.ts";
import { text, validArn } from "./inputs.ts";
import type { AwsSession } from "./session.ts";
import { allTags, observedTags, planTags, retag, tagsInput, toTagList } from "./tags.ts";

/** validOpenIDURL in internal/service/iam/validate.go. */
function validUrl(value: string): string | undefined {
  // IAM returns issuers without their scheme, and so do imports.
  const url = URL.parse(value.includes("://") ? value : `https://${value}`);
  if (url === null) return "has to be a valid URL";
  if (url.protocol !== "https:") return "has to use HTTPS scheme (i.e. begin with https://)";
  return url.search === "" ? undefined : "cannot contain query parameters per the OIDC standard";
}

const withoutScheme = (url: unknown): string => String(url).replace(/^https:\/\//, "");

const eachOf =
  (min: number, max: number) =>
  (values: readonly string[]): string | undefined => {
    const wrong = values.find(({ length }) => length < min || length > max);
    const range = `(${String(min)} - ${String(max)})`;
    return wrong === undefined ? undefined : `expected length of each to be in the range ${range}, got ${wrong}`;
  };

/** The resource type. Its id is the provider's ARN. */
export const openIdConnectProvider = resourceType<AwsSession>({
  schema: {
    url: {
      type: "string",
      required: true,
      forceNew: true,
      validate: validUrl,
      equivalent: (old, next) => withoutScheme(old) === withoutScheme(next),
      // The state has the URL as IAM returns it: without the scheme.
      normalize: withoutScheme,
    },
    clientIdLists: { type: "set", required: true, validate: eachOf(1, 255) },
    thumbprintLists: { type: "list", computed: true, validate: eachOf(40, 40) },
    tags: tagsInput,
  },
  computed: ["arn"],
  plan: planTags,
  create: async (inputs, session) => {
    const command = new iam.CreateOpenIDConnectProviderCommand({
      Url: String(inputs["url"]),
      ClientIDList: inputs["clientIdLists"] as string[],
      ThumbprintList: inputs["thumbprintLists"] as string[] | undefined,
      Tags: toTagList(allTags(inputs, session)),
    });
    const created = await withContext("creating IAM OIDC Provider", session.iam.send(command));
    return { id: created.OpenIDConnectProviderArn ?? "" };
  },
  read,
  update: async (change, session) => {
    await updateThumbprints(change, session);
    await updateClientIds(change, session);
    const OpenIDConnectProviderArn = change.id;
    const provider = { OpenIDConnectProviderArn };
    const retagged = retag(change, session, {
      set: async (tags) =>
        session.iam.send(new iam.TagOpenIDConnectProviderCommand({ ...provider, Tags: toTagList(tags) })),
      remove: async (TagKeys) => session.iam.send(new iam.UntagOpenIDConnectProviderCommand({ ...provider, TagKeys })),
    });
    await withContext(`updating tags for IAM OIDC Provider (${change.id})`, retagged);
    return undefined;
  },
  remove: async (OpenIDConnectProviderArn, _, session) => {
    const command = new iam.DeleteOpenIDConnectProviderCommand({ OpenIDConnectProviderArn });
    await withContext(
      `deleting IAM OIDC Provider (${OpenIDConnectProviderArn})`,
      undefinedIfGone(session.iam.send(command)),
    );
  },
});

async function read(id: string, state: Properties, session: AwsSession): Promise<Observed | undefined> {
  const response = session.iam.send(new iam.GetOpenIDConnectProviderCommand({ OpenIDConnectProviderArn: id }));
  const found = await withContext(`reading IAM OIDC Provider (${id})`, undefinedIfGone(response));
  if (found === undefined) return undefined;
  const properties = {
    arn: id,
    url: withoutScheme(found.Url),
    clientIdLists: found.ClientIDList ?? [],
    thumbprintLists: found.ThumbprintList ?? [],
    ...observedTags(found.Tags, session, state),
  };
  return { id, properties };
}

async function updateThumbprints({ id, inputs, changes }: Change, session: AwsSession): Promise<void> {
  const ThumbprintList = (inputs["thumbprintLists"] ?? []) as string[];
  // IAM does not accept an empty list in an update, so a list that a program clears stays unchanged.
  if (!changes("thumbprintLists") || ThumbprintList.length === 0) return;
  const command = new iam.UpdateOpenIDConnectProviderThumbprintCommand({
    OpenIDConnectProviderArn: id,
    ThumbprintList,
  });
  await withContext(`updating IAM OIDC Provider (${id}) thumbprint`, session.iam.send(command));
}

async function updateClientIds({ id, state, inputs }: Change, session: AwsSession): Promise<void> {
  const [before, after] = [state, inputs].map((one) => (one["clientIdLists"] ?? []) as string[]);
  const provider = { OpenIDConnectProviderArn: id };
  for (const ClientID of after?.filter((one) => !before?.includes(one)) ?? []) {
    const command = new iam.AddClientIDToOpenIDConnectProviderCommand({ ...provider, ClientID });
    await withContext(`adding IAM OIDC Provider (${id}) client ID (${ClientID})`, session.iam.send(command));
  }
  for (const ClientID of before?.filter((one) => !after?.includes(one)) ?? []) {
    const command = new iam.RemoveClientIDFromOpenIDConnectProviderCommand({ ...provider, ClientID });
    await withContext(`removing IAM OIDC Provider (${id}) client ID (${ClientID})`, session.iam.send(command));
  }
}

/** The function aws:iam/getOpenIdConnectProvider, which needs either the ARN or the issuer's URL. */
export async function getOpenIdConnectProvider(args: Properties, session: AwsSession): Promise<Properties> {
  const [arn, url] = [text(args, "arn"), text(args, "url")];
  if ((arn === undefined) === (url === undefined)) {
    throw new InvalidArgumentsError([{ property: "arn", reason: "one of `arn,url` must be specified" }]);
  }
  const wrong = arn === undefined ? validUrl(url ?? "") : validArn(arn);
  if (wrong !== undefined) {
    throw new InvalidArgumentsError([{ property: arn === undefined ? "url" : "arn", reason: wrong }]);
  }
  const id = arn ?? (await arnOf(withoutScheme(url), session));
  const live = await read(id, {}, session);
  if (live === undefined) throw new Error(`reading IAM OIDC Provider (${id}): couldn't find resource`);
  const { clientIdLists, thumbprintLists, tagsAll: tags, url: issuer } = live.properties;
  return { arn: id, id, url: issuer, clientIdLists, thumbprintLists, tags };
}

async function arnOf(issuer: string, session: AwsSession): Promise<string> {
  const response = session.iam.send(new iam.ListOpenIDConnectProvidersCommand());
  const { OpenIDConnectProviderList: all = [] } = await withContext("reading IAM OIDC Provider", response);
  const found = all.find(({ Arn = "" }) => Arn.slice(Arn.indexOf("/") + 1) === issuer);
  if (found?.Arn === undefined) throw new Error(`finding IAM OIDC Provider by url (${issuer}): not found`);
  return found.Arn;
}
