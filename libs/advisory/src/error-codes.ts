/** Of spec §9.2, those that declaring, phases, ends and questions can meet. */
export type AdvisoryErrorCode =
  | "advisory_unavailable"
  | "budget_exceeded"
  | "declare_rate_exceeded"
  | "forbidden_target_field"
  | "hint_too_large"
  | "phase_not_monotonic"
  | "profile_not_allowed"
  | "scope_not_found";
