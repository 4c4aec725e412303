/** Fuzz target: parameters of STS. Whatever they are, they make one call within its limits or a fault. */
import { type FuzzTarget, must, mutateText, pick } from "@kiseki/base/contract";
import { parseStsCall } from "./index.ts";

const samples = [
  "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fa&RoleSessionName=ab&DurationSeconds=900&Tags.member.1.Key=a&Tags.member.1.Value=b",
  "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&WebIdentityToken=aaaa&Policy=%7B%7D",
  "Action=GetSessionToken&Version=2011-06-15&DurationSeconds=3600",
  "Action=GetCallerIdentity&Version=2011-06-15",
];

export const stsTargets: readonly FuzzTarget[] = [
  {
    name: "sts-call",
    run(prng, note) {
      const text = mutateText(prng, pick(prng, samples), [
        "&",
        "=",
        "%",
        "Tags.member.2.Key=",
        "9",
        "\0",
      ]);
      note(text);
      const call = parseStsCall(text);
      if (call.kind === "fault") return call.code;
      if ("seconds" in call && call.seconds !== undefined) {
        must(
          call.seconds >= 900 && call.seconds <= 129_600,
          "a session's life is within its limits",
        );
      }
      if (call.kind === "assume_role") must(call.tags.length <= 50, "tags are bounded");
      return "accepted";
    },
  },
];
