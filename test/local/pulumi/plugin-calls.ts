// The handlers of the engine's calls: convert protobuf messages to properties, call the plugin, and convert the result.
import providerPb from "@pulumi/pulumi/proto/provider_pb.js";
import pluginPb from "@pulumi/pulumi/proto/plugin_pb.js";
import emptyPb from "google-protobuf/google/protobuf/empty_pb.js";
import type structPb from "google-protobuf/google/protobuf/struct_pb.js";
import { configChanges, configOf, withSecrets } from "./plugin-config.ts";
import { toStruct, UnimplementedError } from "./plugin-errors.ts";
import { InvalidArgumentsError, type Plugin } from "./plugin.ts";
import type { Naming } from "./autoname.ts";
import type { DiffResult } from "./diff.ts";
import type { RememberedResource, ResourceType } from "./resource-type.ts";
import type { CheckFailure } from "./schema.ts";
import { plainProperties, type Properties } from "./values.ts";

/** Handles a request and resolves with the response, or rejects with an error for toServiceError. */
export type Call = (request: never) => Promise<unknown>;

/** How a plugin sends log messages to the engine, and how it stops. */
export interface EngineConnection {
  readonly log: EngineLog;
  readonly cancel: () => void;
}

const from = (struct: structPb.Struct | undefined): Properties => struct?.toJavaScript() ?? {};

/** The handlers of a plugin, by the names of the calls in the gRPC service. */
export function pluginHandlers<Session>(
  plugin: Plugin<Session>,
  { log, cancel }: EngineConnection,
): Record<string, Call> {
  let session: Session | undefined;
  const configured = (): Session => {
    if (session === undefined) throw new Error(`the provider ${plugin.name} is not configured`);
    return session;
  };
  return {
    ...configCalls(plugin, log, (made) => (session = made)),
    ...resourceCalls(plugin, configured),
    invoke: async (request: providerPb.InvokeRequest) => invoke(plugin, request, configured()),
    cancel: async () => {
      cancel();
      return Promise.resolve(new emptyPb.Empty());
    },
  } satisfies Record<string, Call>;
}

function configCalls<Session>(
  plugin: Plugin<Session>,
  log: EngineLog,
  configured: (session: Session) => void,
): Record<string, Call> {
  return {
    handshake: async () => {
      const response = new providerPb.ProviderHandshakeResponse();
      response.setAcceptSecrets(true);
      response.setSupportsAutonamingConfiguration(true);
      return Promise.resolve(response);
    },
    getPluginInfo: async () => Promise.resolve(new pluginPb.PluginInfo().setVersion(plugin.version)),
    getSchema: async () => Promise.resolve(new providerPb.GetSchemaResponse().setSchema("{}")),
    attach: async () => Promise.resolve(new emptyPb.Empty()),
    checkConfig: async (request: providerPb.CheckRequest) => {
      const news = from(request.getNews());
      return checked(withSecrets(plugin, news), await plugin.checkConfig(configOf(news)));
    },
    diffConfig: async (request: providerPb.DiffRequest) => {
      const olds = request.hasOldInputs() ? request.getOldInputs() : request.getOlds();
      return Promise.resolve(diffResponse(configChanges(from(olds), from(request.getNews()))));
    },
    configure: async (request: providerPb.ConfigureRequest) => {
      const variables = Object.fromEntries(
        [...request.getVariablesMap().entries()].map(([key, value]) => [key.split(":").at(-1), value]),
      ) as Properties;
      const config = configOf(request.hasArgs() ? from(request.getArgs()) : variables);
      configured(await plugin.configure(config, (severity, message) => log(severity, message)));
      const response = new providerPb.ConfigureResponse();
      // acceptResources and acceptOutputs stay false: resources come as their ids and outputs as their values.
      response.setAcceptsecrets(true);
      response.setSupportspreview(true);
      response.setSupportsAutonamingConfiguration(true);
      return response;
    },
  } satisfies Record<string, Call>;
}

function resourceCalls<Session>(plugin: Plugin<Session>, session: () => Session): Record<string, Call> {
  const typeOf = (request: { getType(): string; getUrn(): string }): ResourceType<Session> => {
    const token = request.getType() || (request.getUrn().split("::")[2]?.split("$").at(-1) ?? "");
    const type = plugin.types[token];
    if (type === undefined) throw new Error(`this stand-in for the ${plugin.name} provider has no resource ${token}`);
    return type;
  };
  return {
    check: async (request: providerPb.CheckRequest) => {
      const oldInputs = request.hasOlds() ? from(request.getOlds()) : undefined;
      const wanted = { inputs: from(request.getNews()), oldInputs, naming: namingOf(request) };
      const { inputs, failures } = await typeOf(request).check(wanted, session());
      return checked(inputs, failures);
    },
    diff: async (request: providerPb.DiffRequest) => {
      const [state, inputs] = [from(request.getOlds()), from(request.getNews())];
      const wanted = { state, inputs, ignoreChanges: request.getIgnorechangesList() };
      return Promise.resolve(diffResponse(typeOf(request).diff(wanted, session())));
    },
    create: async (request: providerPb.CreateRequest) => {
      const [type, inputs, response] = [
        typeOf(request),
        from(request.getProperties()),
        new providerPb.CreateResponse(),
      ];
      if (request.getPreview()) return response.setProperties(toStruct(type.preview(inputs, session())));
      const { id, outputs } = await type.create(inputs, session());
      return response.setId(id).setProperties(toStruct(outputs));
    },
    read: async (request: providerPb.ReadRequest) => {
      const live = await typeOf(request).read(request.getId(), session(), knownOf(request));
      const response = new providerPb.ReadResponse();
      if (live === undefined) return response;
      return response.setId(live.id).setInputs(toStruct(live.inputs)).setProperties(toStruct(live.outputs));
    },
    update: async (request: providerPb.UpdateRequest) => {
      const [type, state, inputs] = [typeOf(request), from(request.getOlds()), from(request.getNews())];
      const outputs = request.getPreview()
        ? type.preview(inputs, session(), state)
        : (await type.update(request.getId(), state, inputs, session())).outputs;
      return new providerPb.UpdateResponse().setProperties(toStruct(outputs));
    },
    delete: async (request: providerPb.DeleteRequest) => {
      await typeOf(request).delete(request.getId(), from(request.getProperties()), session());
      return new emptyPb.Empty();
    },
  } satisfies Record<string, Call>;
}

/** The resource in the engine's state; undefined for an import, which has only an id. */
function knownOf(request: providerPb.ReadRequest): RememberedResource | undefined {
  const outputs = from(request.getProperties());
  if (Object.keys(outputs).length === 0) return undefined;
  return { inputs: from(request.getInputs()), outputs };
}

function namingOf(request: providerPb.CheckRequest): Naming {
  const name = request.getName() || (request.getUrn().split("::").at(-1) ?? "");
  const options = request.getAutonaming();
  const modes = ["propose", "enforce", "disable"] as const;
  const rule = options && { mode: modes[options.getMode()], proposed: options.getProposedName() };
  return { name, seed: request.getRandomseed_asU8(), rule };
}

async function invoke<Session>(
  plugin: Plugin<Session>,
  request: providerPb.InvokeRequest,
  session: Session,
): Promise<providerPb.InvokeResponse> {
  const call = plugin.functions[request.getTok()];
  if (call === undefined) {
    throw new UnimplementedError(`this stand-in for the ${plugin.name} provider has no function ${request.getTok()}`);
  }
  const response = new providerPb.InvokeResponse();
  try {
    return response.setReturn(toStruct(await call(plainProperties(from(request.getArgs())), session)));
  } catch (error) {
    if (!(error instanceof InvalidArgumentsError)) throw error;
    return response.setFailuresList(error.failures.map(toFailure));
  }
}

const toFailure = ({ property, reason }: CheckFailure): providerPb.CheckFailure =>
  new providerPb.CheckFailure().setProperty(property).setReason(reason);

const checked = (inputs: Properties, failures: readonly CheckFailure[]): providerPb.CheckResponse =>
  new providerPb.CheckResponse().setInputs(toStruct(inputs)).setFailuresList(failures.map(toFailure));

function diffResponse({ changes, detailed, replaces, deleteBeforeReplace }: DiffResult): providerPb.DiffResponse {
  const { DiffChanges } = providerPb.DiffResponse;
  const response = new providerPb.DiffResponse();
  response.setChanges(changes ? DiffChanges.DIFF_SOME : DiffChanges.DIFF_NONE);
  response.setReplacesList([...replaces]);
  response.setDiffsList([...new Set(Object.keys(detailed).map((path) => path.split(/[.[]/)[0] ?? path))]);
  response.setDeletebeforereplace(deleteBeforeReplace);
  response.setHasdetaileddiff(true);
  for (const [path, kind] of Object.entries(detailed)) {
    response.getDetaileddiffMap().set(path, new providerPb.PropertyDiff().setKind(providerPb.PropertyDiff.Kind[kind]));
  }
  return response;
}

/** Shows a message to the user of pulumi, beside a resource where a URN is given. */
export type EngineLog = (severity: "debug" | "info" | "warning" | "error", message: string, urn?: string) => void;
