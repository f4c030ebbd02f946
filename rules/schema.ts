/** @module The shape of the catalogue: what a provider needs, as data. */
import type { Static } from 'typebox';
import type { RuleOwners } from './rule-owners.ts';
import { Type } from './type.ts';

/** How much a requirement matters. A failed `recommended` is a warning, a failed `info` information. */
export const Level = Type.Union(
  [Type.Literal('required'), Type.Literal('recommended'), Type.Literal('info')],
  { description: 'How much the requirement matters.' },
);
export type Level = Static<typeof Level>;

/** A value an option can have. Numbers stand for ports, VNIs and byte counts. */
export const OptionValue = Type.Union([Type.String(), Type.Number(), Type.Boolean()]);
export type OptionValue = Static<typeof OptionValue>;

/**
 * Option names with the value, or one of the values, that must be in force. All must hold.
 * `distribution` may stand for an option: it is the distribution that the provider came with.
 */
export const Condition = Type.Record(
  Type.String(),
  Type.Union([OptionValue, Type.Array(OptionValue, { minItems: 1 })]),
);
export type Condition = Static<typeof Condition>;

/** A number written out, or taken from an option, optionally moved (`plus: 1` is Weave's data port). */
export const NumberParam = Type.Union([
  Type.Integer(),
  Type.Object(
    { option: Type.String(), plus: Type.Optional(Type.Integer()) },
    { additionalProperties: false },
  ),
]);
export type NumberParam = Static<typeof NumberParam>;

/**
 * What stands before our message in a UDP probe, chosen so that the port's owner ignores it.
 * `vxlan`: RFC 7348 header with the I flag clear and an Ethernet frame of EtherType 0x88B5;
 * `geneve`: RFC 8926 header with an unknown version; `zero`: 22 zero bytes (WireGuard type 0, IKE version 0).
 */
export const Payload = Type.Union([
  Type.Literal('vxlan'),
  Type.Literal('geneve'),
  Type.Literal('zero'),
]);
export type Payload = Static<typeof Payload>;

const object = <P extends Parameters<typeof Type.Object>[0]>(properties: P) =>
  Type.Object(properties, { additionalProperties: false });
/** A trailing `*` matches any ending. */
const DeviceNames = Type.Array(Type.String(), { minItems: 1 });
const Transport = Type.Union([Type.Literal('udp'), Type.Literal('tcp')]);

/** What each kind of requirement is parameterised by, as written in YAML. */
export const paramsByKind = {
  'kernel-version': object({
    operator: Type.Union([
      Type.Literal('>'),
      Type.Literal('>='),
      Type.Literal('<'),
      Type.Literal('<='),
    ]),
    version: Type.String(),
    /** Vendor kernels that satisfy it with a lower upstream version, e.g. RHEL 4.18.0-372. */
    backports: Type.Optional(
      Type.Array(
        object({
          vendor: Type.Union([Type.Literal('rhel')]),
          atLeast: Type.String(),
        }),
      ),
    ),
  }),
  'kernel-feature': object({ feature: Type.String() }),
  sysctl: object({
    /** With slashes, as sysctl(8) allows: an interface name may contain dots. */
    key: Type.String(),
    values: Type.Array(Type.String(), { minItems: 1 }),
    /** What an absent file means: `fail`, or `skip` when the setting does not exist on every kernel. */
    absent: Type.Union([Type.Literal('fail'), Type.Literal('skip')]),
    /** Who sets it at start, if the provider does so itself: then a difference now is not yet wrong. */
    setBy: Type.Optional(Type.String()),
  }),
  /** Whether the node forwards: asked of the interfaces of pods and underlay once the provider has made its own. */
  forwarding: object({
    family: Type.Union([Type.Literal('ipv4'), Type.Literal('ipv6')]),
    /** Who turns it on at start, if the provider does so itself: before it has devices, off is not yet wrong. */
    setBy: Type.Optional(Type.String()),
    /** Devices by which one sees that it has; absent: any of the provider's own. A `*` at the end matches any ending. */
    once: Type.Optional(Type.Array(Type.String(), { minItems: 1 })),
  }),
  /** What the files of sysctl.d would set. */
  'sysctl-files': object({
    /** Names of one setting, with slashes; a `*` stands for an interface that is made later. */
    keys: Type.Array(Type.String(), { minItems: 1 }),
    /** Values that the provider can work with, the best first. */
    values: Type.Array(Type.String(), { minItems: 1 }),
  }),
  /** The reverse-path filter in force on the provider's own interfaces. */
  'reverse-path': object({
    /** 0: none, 1: strict, 2: loose; the best first. */
    allowed: Type.Array(Type.Union([Type.Literal(0), Type.Literal(1), Type.Literal(2)]), {
      minItems: 1,
    }),
    setBy: Type.String(),
  }),
  /** Whether packets of the peer would be taken on the interface where they come in. */
  'return-path': object({}),
  /** How full a table of the kernel is. */
  'kernel-table': object({
    table: Type.Union([
      Type.Literal('conntrack'),
      Type.Literal('neighbour-ipv4'),
      Type.Literal('neighbour-ipv6'),
    ]),
    /** From this part of its limit on it is nearly full. */
    share: Type.Number({ exclusiveMinimum: 0, maximum: 1 }),
    /** Settings that make it larger, the last one first, with the least that they should be. */
    limits: Type.Record(Type.String(), Type.Integer({ minimum: 1 })),
  }),
  /** A counter of losses, on the average since the boot. */
  'kernel-counter': object({
    counter: Type.Union([
      Type.Literal('conntrack-insert-failed'),
      Type.Literal('conntrack-drop'),
      Type.Literal('neighbour-full-ipv4'),
      Type.Literal('neighbour-full-ipv6'),
    ]),
    /** More than so many an hour are worth a word. */
    perHour: Type.Number({ minimum: 0 }),
  }),
  'ipv6-state': object({
    question: Type.Union([Type.Literal('enabled'), Type.Literal('default-route')]),
  }),
  /** Trouble that is known of certain machines. It is told where all that is said of them holds. */
  'known-issue': object({
    /** What goes wrong, for whoever meets it. */
    symptom: Type.String(),
    /** Kernels that have it, any of them. */
    kernels: Type.Optional(
      Type.Array(
        object({
          /** First and last release, both included; a build number behind the dash counts where it is written. */
          from: Type.Optional(Type.String()),
          to: Type.Optional(Type.String()),
          /** IDs of os-release whose kernels are meant; absent: any. */
          distributions: Type.Optional(Type.Array(Type.String(), { minItems: 1 })),
        }),
        { minItems: 1 },
      ),
    ),
    /** Files of /sys/class/dmi/id with what they say; a trailing `*` matches any ending. */
    dmi: Type.Optional(Type.Record(Type.String({ pattern: '^[a-z_]+$' }), Type.String())),
    /** Whose driver is meant, and what it leaves to the hardware: one of the features that is on is enough. */
    driver: Type.Optional(
      object({
        of: Type.Union([Type.Literal('underlay'), Type.Literal('vxlan')]),
        names: Type.Optional(Type.Array(Type.String(), { minItems: 1 })),
        /** Begins of what it calls its version. */
        versions: Type.Optional(Type.Array(Type.String(), { minItems: 1 })),
        features: Type.Optional(Type.Array(Type.String(), { minItems: 1 })),
      }),
    ),
    /** Only where rules masquerade with random ports (`--random-fully`). */
    masquerade: Type.Optional(Type.Literal('random-fully')),
    /** A target of ip6tables that such a kernel lacks: where the kernel lists its targets, that decides. */
    lacksTarget6: Type.Optional(Type.String()),
  }),
  /** Filters of tc that are asked before the provider's own. */
  'traffic-filters': object({
    /** Names of the provider's own programs; a trailing `*` matches any ending. */
    own: Type.Array(Type.String(), { minItems: 1 }),
  }),
  /** What SELinux has forbidden, and whether it knows the provider. */
  selinux: object({
    /** Begins of process names whose denials matter. */
    programs: Type.Optional(Type.Array(Type.String(), { minItems: 1 })),
    /** Policy modules of which one must be there. */
    modules: Type.Optional(Type.Array(Type.String(), { minItems: 1 })),
  }),
  'cni-files': object({
    directories: Type.Array(Type.String(), { minItems: 1 }),
    /** Configuration file names of this provider, the first that exists wins. */
    own: Type.Array(Type.String(), { minItems: 1 }),
  }),
  'port-owner': object({
    transport: Transport,
    port: NumberParam,
    /** Process names (as in /proc/PID/comm) that rightly own it. */
    processes: Type.Array(Type.String()),
    /** Whether the kernel's own socket (VXLAN, Geneve, WireGuard device) may own it. */
    kernel: Type.Boolean(),
    /** Whether it must listen on loopback only. */
    loopbackOnly: Type.Optional(Type.Boolean()),
  }),
  'device-conflict': object({
    device: Type.Union([Type.Literal('vxlan'), Type.Literal('geneve')]),
    port: NumberParam,
    vni: Type.Optional(NumberParam),
    /** Names of the provider's own devices; a trailing `*` matches any ending. */
    own: Type.Array(Type.String()),
    /** Whether the provider's own device is `external` (collect metadata). */
    external: Type.Boolean(),
  }),
  'icmp-echo': object({}),
  'udp-port': object({ port: NumberParam, payload: Payload }),
  'tcp-port': object({ port: NumberParam }),
  'vxlan-path': object({ port: NumberParam, overheadBytes: NumberParam }),
  'ip-protocol': object({
    protocol: Type.Union([Type.Literal(4), Type.Literal(50)]),
  }),
  'path-mtu': object({
    overheadBytes: NumberParam,
    overheadBytesIpv6: Type.Optional(NumberParam),
  }),
  'overlay-path': object({
    /** Names of the overlay devices whose address the peer's agent answers on. */
    devices: Type.Array(Type.String(), { minItems: 1 }),
    /** Whether pods are behind these devices: then probes go from the own device of that name, as a pod's packets do. */
    pods: Type.Optional(Type.Boolean()),
  }),
  'overlay-device': object({ tunnels: DeviceNames, bridges: Type.Optional(DeviceNames) }),
  'overlay-state': object({
    tunnels: DeviceNames,
    /** Devices that pods are behind, with an address of the pods' prefix. */
    bridges: Type.Optional(DeviceNames),
    /** Where flanneld writes down the prefix of this node's pods. */
    subnetFiles: Type.Optional(Type.Array(Type.String(), { minItems: 1 })),
  }),
  'host-forward': object({
    tunnels: DeviceNames,
    /** Devices that pods are behind. */
    pods: DeviceNames,
    /** Of pods' packets from other nodes, or to them. */
    direction: Type.Union([Type.Literal('in'), Type.Literal('out')]),
  }),
  'pod-source': object({ tunnels: DeviceNames, pods: DeviceNames }),
  latency: object({ maximumMilliseconds: Type.Number() }),
  datastore: object({
    store: Type.Union([Type.Literal('etcd'), Type.Literal('kubernetes')]),
    /** Option that holds the endpoints, comma-separated URLs. */
    endpointsOption: Type.String(),
  }),
  'firewall-wipe': object({}),
  /** Made of requirements with a port or protocol (rules/firewall.ts), and seldom written by hand. */
  'host-firewall': object({
    protocol: Type.Union([
      Type.Literal('udp'),
      Type.Literal('tcp'),
      Type.Literal('icmp'),
      Type.Integer({ minimum: 0, maximum: 255 }),
    ]),
    port: Type.Optional(NumberParam),
  }),
  'peer-agreement': object({
    fields: Type.Array(
      Type.Union([
        Type.Literal('provider'),
        Type.Literal('encapsulation'),
        Type.Literal('vni'),
        Type.Literal('port'),
        Type.Literal('mtu'),
      ]),
      { minItems: 1 },
    ),
  }),
  /** Whether the rules of Kubernetes stand in both backends of iptables. */
  'firewall-backends': object({}),
  /** Whether what the provider's CNI configuration calls is on the host. */
  'cni-plugins': object({ need: Type.Union([Type.Literal('plugins'), Type.Literal('iptables')]) }),
  /** Whether the token of the CNI plugins is in force. */
  'cni-token': object({}),
  /** Services of the host that look after networks, and what they may do to a CNI: once it has devices, and before by what they are told. */
  'service-manager': object({
    service: Type.Union([
      Type.Literal('networkmanager'),
      Type.Literal('networkmanager-configuration'),
      Type.Literal('nm-cloud-setup'),
      Type.Literal('networkd'),
      Type.Literal('networkd-configuration'),
      Type.Literal('firewall-reload'),
    ]),
  }),
  /** What other programs do to the routing of this node. */
  'policy-routing': object({
    /**
     * `usual-rules`: the tables `local` and `main` are asked; `ways-to-pods`: the kernel sends packets for pods to the provider's interfaces;
     * `ways-to-come`: no rule will lead them elsewhere once there are pods.
     */
    question: Type.Union([
      Type.Literal('usual-rules'),
      Type.Literal('ways-to-pods'),
      Type.Literal('ways-to-come'),
    ]),
  }),
} as const;

export type Kind = keyof typeof paramsByKind;
export const kinds = Object.keys(paramsByKind) as readonly Kind[];

/** Params as a check gets them: every option reference replaced by its number. */
type Resolved<T> = T extends { option: string }
  ? never
  : T extends object
    ? { readonly [K in keyof T]: Resolved<T[K]> }
    : T;
export type ParamsByKind = {
  readonly [K in Kind]: Resolved<Static<(typeof paramsByKind)[K]>>;
};

/** Where a requirement is tested: on this node, towards each peer, or (inverted) that no peer reaches it. */
export const Scope = Type.Union([
  Type.Literal('node'),
  Type.Literal('peer'),
  Type.Literal('host-local'),
]);
export type Scope = Static<typeof Scope>;

/** Which directions must work between two nodes. `either`: one of both is enough (BGP with a passive end). */
export const Direction = Type.Union([Type.Literal('both'), Type.Literal('either')]);
export type Direction = Static<typeof Direction>;

const fields = {
  level: Level,
  scope: Scope,
  direction: Type.Optional(Direction),
  /** Roles of the far node it is meant for (`typha`, `etcd`, `control-plane`); absent: every node. */
  peerRole: Type.Optional(Type.String()),
  when: Type.Optional(Condition),
  unless: Type.Optional(Condition),
  purpose: Type.String(),
  /** Seed claims (S1 to S32) that it covers. */
  seed: Type.Optional(Type.Array(Type.String({ pattern: '^S[0-9]+$' }))),
  /** Documents that ask for it, with the version read. */
  source: Type.Array(Type.String(), { minItems: 1 }),
  /** What the sources disagree on, starting with its number (`D3: …`). */
  disputed: Type.Optional(Type.Array(Type.String())),
} as const;
const own = {
  id: Type.String({
    pattern: '^[a-z0-9]+(-[a-z0-9]+)*\\.[a-z0-9]+([.-][a-z0-9]+)*$',
  }),
  ...fields,
  /** A group of which one requirement must pass. */
  anyOf: Type.Optional(Type.String()),
} as const;
const shared = {
  /** What its id ends with, after the name of a provider and a dot. */
  suffix: Type.String({ pattern: '^[a-z0-9]+(-[a-z0-9]+)*$' }),
  ...fields,
} as const;

const requirementOf = (kind: Kind) => object({ ...own, ...paramsOf(kind) });
const commonRequirementOf = (kind: Kind) => object({ ...shared, ...paramsOf(kind) });
const paramsOf = (kind: Kind) => ({ kind: Type.Literal(kind), params: paramsByKind[kind] });
/** The written form of a requirement, one schema a kind: what the loader checks each against. */
export const requirementSchemas: ReadonlyMap<string, ReturnType<typeof requirementOf>> = new Map(
  kinds.map((kind) => [kind, requirementOf(kind)]),
);
export const commonRequirementSchemas: ReadonlyMap<
  string,
  ReturnType<typeof commonRequirementOf>
> = new Map(kinds.map((kind) => [kind, commonRequirementOf(kind)]));
/** One requirement as written in a provider's file. */
export const CatalogueRequirement = Type.Union(kinds.map(requirementOf));
/** The written form; `params` is checked against its kind by the schema when loaded. */
export interface CatalogueRequirement {
  readonly id: string;
  readonly kind: Kind;
  readonly level: Level;
  readonly scope: Scope;
  readonly direction?: Direction;
  readonly peerRole?: string;
  readonly when?: Condition;
  readonly unless?: Condition;
  readonly params: Readonly<Record<string, unknown>>;
  readonly purpose: string;
  readonly anyOf?: string;
  readonly seed?: readonly string[];
  readonly source: readonly string[];
  readonly disputed?: readonly string[];
}

/** What every provider needs, written once: the requirement of one of them has the provider's name before the suffix. */
export type CommonRequirement = Omit<CatalogueRequirement, 'id' | 'anyOf'> & {
  readonly suffix: string;
};

/** `rules/common.yaml`: what every provider needs of its node. */
export const CommonFile = object({
  requirements: Type.Array(Type.Union(kinds.map(commonRequirementOf))),
});

/** One way to run a provider. The default may depend on the distribution, or on another option. */
export const ProviderOption = object({
  about: Type.String(),
  type: Type.Union([
    Type.Literal('choice'),
    Type.Literal('port'),
    Type.Literal('number'),
    Type.Literal('boolean'),
    Type.Literal('text'),
  ]),
  values: Type.Optional(Type.Array(OptionValue)),
  default: OptionValue,
  defaultByDistribution: Type.Optional(Type.Record(Type.String(), OptionValue)),
  /** Defaults under a condition on other options; the first that holds wins over the two above. */
  defaultWhen: Type.Optional(Type.Array(object({ when: Condition, value: OptionValue }))),
  disputed: Type.Optional(Type.Array(Type.String())),
});
export type ProviderOption = Static<typeof ProviderOption>;

/** The seed's comparison table, one row. */
export const Features = object({
  networkModel: Type.String(),
  routeDistribution: Type.String(),
  networkPolicies: Type.String(),
  mesh: Type.String(),
  externalDatastore: Type.String(),
  encryption: Type.String(),
  ingressEgressPolicies: Type.String(),
});
export type Features = Static<typeof Features>;

/** What betrays a running provider on a node, and the options it runs with. */
export const Detection = object({
  /** Files whose presence says that the provider is configured here. */
  files: Type.Array(Type.String()),
  /** Links that betray it. Presence sets options; attributes are read into options; the first that tells an option wins. */
  links: Type.Array(
    object({
      /** Name, `*` at the end matches any ending. */
      name: Type.String(),
      kind: Type.Optional(Type.String()),
      /** False for a link that others have too (`tunl0`): it tells options, but does not betray the provider. */
      betrays: Type.Optional(Type.Boolean()),
      /** Names that must all be present too, or the line does not apply. */
      with: Type.Optional(Type.Array(Type.String(), { minItems: 1 })),
      /** Options that its presence sets. */
      set: Type.Optional(Type.Record(Type.String(), OptionValue)),
      /** Options that its attributes set. */
      read: Type.Optional(
        object({
          port: Type.Optional(Type.String()),
          vni: Type.Optional(Type.String()),
          mtu: Type.Optional(Type.String()),
        }),
      ),
    }),
  ),
  /** Names that must all be present for links to betray it where no file does (Canal: `flannel.*` and `cali*`). */
  together: Type.Optional(Type.Array(Type.String())),
  /** Names of which none may be present where no file betrays it (`cni0` tells Flannel from Canal). */
  without: Type.Optional(Type.Array(Type.String())),
});
export type Detection = Static<typeof Detection>;

/** One file of `rules/providers/`. */
export const Provider = object({
  provider: Type.String({ pattern: '^[a-z][a-z0-9-]*$' }),
  title: Type.String(),
  /** Place in the comparison table; those without one come last, by name. */
  order: Type.Optional(Type.Integer()),
  about: Type.String(),
  status: Type.Union([Type.Literal('maintained'), Type.Literal('archived')]),
  statusNote: Type.Optional(Type.String()),
  distributions: Type.Array(Type.String(), { minItems: 1 }),
  features: Features,
  options: Type.Record(Type.String(), ProviderOption),
  detect: Detection,
  /** Names of the network devices that it makes on a node; a trailing `*` matches any ending. */
  interfaces: Type.Optional(
    Type.Array(Type.String({ pattern: '^[^\\s/*]{1,15}\\*?$' }), { minItems: 1 }),
  ),
  requirements: Type.Array(CatalogueRequirement, { minItems: 1 }),
  seed: Type.Optional(Type.Array(Type.String())),
  disputed: Type.Optional(Type.Array(Type.String())),
});
export interface Provider {
  readonly provider: string;
  readonly title: string;
  readonly order?: number;
  readonly about: string;
  readonly status: 'maintained' | 'archived';
  readonly statusNote?: string;
  readonly distributions: readonly string[];
  readonly features: Features;
  readonly options: Readonly<Record<string, ProviderOption>>;
  readonly detect: Detection;
  readonly interfaces?: readonly string[];
  readonly requirements: readonly CatalogueRequirement[];
  readonly seed?: readonly string[];
  readonly disputed?: readonly string[];
}

/** How the presence of one kernel feature is established; `rules/features.yaml` holds them all. */
export const Feature = object({
  about: Type.String(),
  /** Module names, any of which provides it. */
  modules: Type.Array(Type.String()),
  /** CONFIG_ symbols (without the prefix) that must be y or m: a hint, never a proof of absence on its own. */
  config: Type.Array(Type.String()),
  /** Kinds of a live device that proves it (`vxlan`). */
  devices: Type.Optional(Type.Array(Type.String())),
  /** Files or directories of which one present proves it. */
  files: Type.Optional(Type.Array(Type.String())),
  /** A mount of this file system type proves it. */
  mount: Type.Optional(Type.String()),
  /** A link kind that `--try-modules` creates in a throw-away namespace. */
  tryLink: Type.Optional(Type.String()),
});
export type Feature = Static<typeof Feature>;

/** One thing a provider needs, with every option reference resolved: what the plan works with. */
export type Requirement<K extends Kind = Kind> = {
  [P in K]: {
    readonly id: string;
    readonly kind: P;
    readonly level: Level;
    readonly scope: Scope;
    readonly direction: Direction;
    readonly peerRole?: string;
    readonly params: ParamsByKind[P];
    readonly purpose: string;
    readonly anyOf?: string;
    readonly source: readonly string[];
    readonly disputed: readonly string[];
    /** Where its numbers came from, e.g. `{ tunnelPort: 'device flannel.1' }`. */
    readonly origins: Readonly<Record<string, string>>;
  };
}[K];

/** `rules/features.yaml`: feature names with how their presence is established. */
export const FeaturesFile = object({
  features: Type.Record(Type.String(), Feature),
});

/** What the catalogue holds once loaded. */
export interface Catalogue {
  /** Each with what every provider needs. */
  readonly providers: ReadonlyMap<string, Provider>;
  /** Each as its file has it. */
  readonly written: ReadonlyMap<string, Provider>;
  /** What every provider needs, by suffix. */
  readonly common: ReadonlyMap<string, CommonRequirement>;
  readonly features: ReadonlyMap<string, Feature>;
  /** Whose rules a firewall may hold, and who takes them away. */
  readonly ruleOwners: RuleOwners;
}
