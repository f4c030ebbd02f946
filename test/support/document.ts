/** @module Finding one's way in a status document, with errors that show the document. */
import type { Finding, StatusDocument } from '../../agent/model.ts';

export interface Which {
  readonly requirement?: string;
  readonly kind?: string;
  /** Name of the peer, or `node` for findings about the node itself. */
  readonly peer?: string;
  readonly direction?: 'outbound' | 'inbound';
  readonly family?: 'ipv4' | 'ipv6';
}

/** The findings that match every given field, in the order of the document. */
export function findingsOf(document: StatusDocument, which: Which): readonly Finding[] {
  return document.findings.filter(({ requirement, kind, target }) => {
    const peer = target.scope === 'peer' ? target : undefined;
    return (
      (which.requirement === undefined || which.requirement === requirement) &&
      (which.kind === undefined || which.kind === kind) &&
      (which.peer === undefined || which.peer === (peer?.name ?? 'node')) &&
      (which.direction === undefined || which.direction === peer?.direction) &&
      (which.family === undefined || which.family === peer?.family)
    );
  });
}

/** The one finding that matches; throws with the whole list when there is none or more than one. */
export function theFinding(document: StatusDocument, which: Which): Finding {
  const [found, ...others] = findingsOf(document, which);
  if (found === undefined || others.length > 0) {
    const count = found === undefined ? 'no finding' : `${others.length + 1} findings`;
    throw new Error(`${count} for ${JSON.stringify(which)} in:\n${describe(document)}`);
  }
  return found;
}

/** The outcome, and the reason where there is one: `pass`, `fail dropped`. */
export function said({ outcome, reason }: Finding): string {
  return reason === undefined ? outcome : `${outcome} ${reason}`;
}

/** One line a finding, for error messages. */
export function describe(document: StatusDocument): string {
  const lines = document.findings.map((finding) => {
    const { target } = finding;
    const where =
      target.scope === 'node' ? 'node' : `${target.name} ${target.family} ${target.direction}`;
    const evidence = JSON.stringify(finding.evidence);
    return `${said(finding)} | ${finding.level} ${finding.requirement} | ${where} | ${evidence}`;
  });
  const peers = document.peers.map(({ name, address, agent }) => `${name} ${address} ${agent}`);
  return [`readiness ${document.readiness}; peers: ${peers.join(', ')}`, ...lines].join('\n');
}
