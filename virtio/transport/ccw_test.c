// SPDX-License-Identifier: MIT
#include "tests/mock_ccw.h"
#include "tests/test.h"
int main(void)
{
	return 0;
}
