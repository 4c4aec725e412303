/** Name of the local socket in the config directory. */
export const adminSocketName = "admin.sock";
