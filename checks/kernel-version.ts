/** @module Compares the running kernel with the version that a provider asks for. */
import type { ParamsByKind } from '../rules/schema.ts';
import { type AnswerCulprit, type Check, fail, pass, unknown } from './check.ts';
import type { OsFacts } from './host/host.ts';

/** A kernel release as `uname -r` gives it. */
export interface KernelVersion {
  /** major, minor, patch; the patch is 0 when it is not written. */
  readonly numbers: readonly [number, number, number];
  /** Number of the release candidate; absent for a release. */
  readonly candidate?: number;
  /** What a vendor counts behind the first dash: `553.5.1` of `4.18.0-553.5.1.el8_10.x86_64`. */
  readonly build: readonly number[];
}

const thisNode: AnswerCulprit = { where: 'node', node: 'this' };

/** Compares the running kernel with the version that a provider asks for, vendor backports included. */
export const kernelVersion: Check<'kernel-version'> = {
  kind: 'kernel-version',
  summary: 'the kernel has the version that the provider needs',
  scope: 'node',
  needs: [],

  async run({ operator, version, backports = [] }, _target, { host }) {
    const facts = await host.osFacts();
    const evidence = { kernel: facts.kernel, want: `${operator} ${version}` };
    const running = parseKernelVersion(facts.kernel);
    if (running === undefined) return unknown('kernel-version-unreadable', evidence);
    if (satisfies(running, operator, version)) return pass(evidence);
    const backport = backports.find(({ atLeast }) => isBackported(facts, running, atLeast));
    if (backport !== undefined) return pass({ ...evidence, backport: backport.atLeast });
    return fail('kernel-too-old', evidence, thisNode);
  },
};

/**
 * Takes the parts of a release: `5.2.0-rc1`, `6.9-rc7-amd64`, `6.9.0-0.rc1.16.fc41.x86_64`,
 * `4.18.0-553.el8_10.x86_64`, `5.15.0-1061-azure`, `5.10.0+`. Undefined when it does not start with two numbers.
 */
export function parseKernelVersion(release: string): KernelVersion | undefined {
  const match = /^(\d{1,5})\.(\d{1,5})(?:\.(\d{1,5}))?(?!\d)(.*)$/s.exec(release.trim());
  if (match === null) return undefined;
  const [, major, minor, patch = '0', rest = ''] = match;
  const candidate = /^[-~](?:0\.)?rc(\d{1,3})/.exec(rest)?.[1];
  const build = /^-(\d+(?:\.\d+)*)/.exec(rest)?.[1] ?? '';
  return {
    numbers: [Number(major), Number(minor), Number(patch)],
    ...(candidate === undefined ? {} : { candidate: Number(candidate) }),
    build: build === '' ? [] : build.split('.').map(Number),
  };
}

/**
 * Compares by the precision of the written version: every 5.2.x is `5.2`, so it is not `> 5.2`. A release
 * candidate comes before the release that it is named after.
 */
export function satisfies(
  running: KernelVersion,
  operator: ParamsByKind['kernel-version']['operator'],
  version: string,
): boolean {
  const wanted = version.split('.').map(Number);
  if (wanted.length === 0 || wanted.some((number) => !Number.isSafeInteger(number))) {
    throw new RangeError(`the catalogue asks for kernel ${JSON.stringify(version)}`);
  }
  let order = compareNumbers(running.numbers.slice(0, wanted.length), wanted);
  if (order === 0 && running.candidate !== undefined && isFirstOf(running, wanted)) order = -1;
  switch (operator) {
    case '>':
      return order > 0;
    case '>=':
      return order >= 0;
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
  }
}

/**
 * Orders a running kernel and a written release by its precision: every 5.2.x is `5.2`, every build of 5.15.0 is `5.15.0`, and
 * `5.15.0-127` is one build.
 */
export function compareReleases(running: KernelVersion, written: string): number {
  const wanted = parseKernelVersion(written);
  if (wanted === undefined)
    throw new RangeError(`the catalogue names kernel ${JSON.stringify(written)}`);
  const precision = written.split('-')[0]?.split('.').length ?? 0;
  const order = compareNumbers(
    running.numbers.slice(0, precision),
    wanted.numbers.slice(0, precision),
  );
  if (order !== 0 || wanted.build.length === 0) return order;
  return compareNumbers(running.build.slice(0, wanted.build.length), wanted.build);
}

/** 5.2.0-rc1 precedes 5.2 as well as 5.2.0; candidates exist for the first release of a series only. */
function isFirstOf({ numbers }: KernelVersion, wanted: readonly number[]): boolean {
  return numbers.every((number, index) => number === (wanted[index] ?? 0));
}

/**
 * Whether a RHEL kernel (or a rebuild of one) is at least `4.18.0-NNN`. Its base version never changes within a
 * major release, so only the same base can be compared: 4.19 from elsewhere has none of the backports.
 */
function isBackported(facts: OsFacts, running: KernelVersion, atLeast: string): boolean {
  const wanted = parseKernelVersion(atLeast);
  if (wanted === undefined || wanted.build.length === 0) return false;
  if (!isRhelKernel(facts)) return false;
  if (compareNumbers(running.numbers, wanted.numbers) !== 0) return false;
  return compareNumbers(running.build, wanted.build) >= 0;
}

/** By os-release; or, as in a container whose os-release is the image's, by the release itself (`.el8`). */
function isRhelKernel({ kernel, id, idLike }: OsFacts): boolean {
  if (/\.elrepo|uek/.test(kernel)) return false;
  const vendors = ['rhel', 'centos', 'rocky', 'almalinux', 'ol'];
  const names = [id, ...idLike.split(/\s+/)];
  return names.some((name) => vendors.includes(name)) || /\.el\d/.test(kernel);
}

function compareNumbers(one: readonly number[], other: readonly number[]): number {
  for (let index = 0; index < Math.max(one.length, other.length); index++) {
    const difference = (one[index] ?? 0) - (other[index] ?? 0);
    if (difference !== 0) return Math.sign(difference);
  }
  return 0;
}
