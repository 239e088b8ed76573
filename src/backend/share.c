// SPDX-License-Identifier: MIT
#include "backend/share.h"

#include <errno.h>

int share_open(const struct share_config *config, struct share **ret, struct err *e)
{
	return err_set(e, -EOPNOTSUPP, "shared folders are not there yet");
}

void share_close(struct share *share)
{
}
